from promptflow.core import tool


@tool
def greet(name: str, word: str) -> str:
    return f"{word} {name}"
