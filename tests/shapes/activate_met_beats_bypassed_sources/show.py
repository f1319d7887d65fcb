from promptflow.core import tool


@tool
def show(value):
    return f"got {value}"
