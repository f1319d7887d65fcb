from promptflow.core import tool


@tool
def look(text: str) -> dict:
    return {"size": len(text)}
