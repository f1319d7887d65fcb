from promptflow.core import tool


@tool
def pair(x: int) -> dict:
    return {"value": x}
