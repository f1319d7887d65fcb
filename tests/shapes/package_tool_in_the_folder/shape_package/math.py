from promptflow.core import tool


@tool
def triple(x: int) -> int:
    return 3 * x


@tool
def quadruple(x: int) -> int:
    return 4 * x
