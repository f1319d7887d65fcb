from promptflow.core import tool


@tool
def one():
    return 1
