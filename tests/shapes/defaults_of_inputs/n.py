from promptflow.core import tool


@tool
def n(a, b, c):
    return [a, b, c]
