from promptflow.core import tool


@tool
def reply(kind: str, text: str) -> str:
    return f"{kind}: {text}"
