from promptflow.core import tool


@tool
def one(x):
    return x
