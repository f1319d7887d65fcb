from promptflow.core import tool


@tool
def add(x: int, y: int = 1) -> int:
    return x + y
