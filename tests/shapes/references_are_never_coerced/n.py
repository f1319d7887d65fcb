from promptflow.core import tool


@tool
def n(x: int) -> str:
    return repr(x)
