from promptflow.core import tool


@tool
def look(text: str) -> dict:
    return {"size": {"kind": "long" if len(text) > 3 else "short"}}
