from promptflow.core import tool


@tool
def total(xs: list) -> int:
    return sum(xs)
