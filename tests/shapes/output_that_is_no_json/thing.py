from promptflow.core import tool


@tool
def thing(x: int):
    return {1, x} if x else [x]
