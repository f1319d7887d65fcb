from promptflow.core import tool


@tool
def one():
    return {"k": 1}
