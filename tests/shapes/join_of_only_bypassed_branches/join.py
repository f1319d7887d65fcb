from promptflow.core import tool


@tool
def join(left, right):
    return f"{left}|{right}"
