from promptflow.core import tool


@tool
def inverse(x: int) -> float:
    return 1 / x
