from promptflow.core import log_metric, tool


@tool
def first(xs: list) -> int:
    log_metric("sum", sum(xs))
    return sum(xs)
