from promptflow.core import tool


@tool
def n(a, b, c, d, e="[1]"):
    return [a, b, c, d, e]
