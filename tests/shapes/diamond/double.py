from promptflow.core import tool


@tool
def double(x: int) -> int:
    return 2 * x
