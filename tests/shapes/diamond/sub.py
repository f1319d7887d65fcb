from promptflow.core import tool


@tool
def subtract(a: int, b: int) -> int:
    return a - b
