from promptflow.core import log_metric, tool


@tool
def a(x: int) -> int:
    log_metric("x", x)
    return x
