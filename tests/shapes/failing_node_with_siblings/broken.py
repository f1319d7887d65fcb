from promptflow.core import tool


@tool
def broken(x: int) -> float:
    return 1 / x
