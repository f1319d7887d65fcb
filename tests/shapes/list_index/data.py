from promptflow.core import tool


@tool
def data(x: int):
    return {"a": {"k-x": [{"b": x}, {"b": x + 1}]}, "list": [10, 20]}
