from promptflow.core import tool


@tool
def parts(text: str):
    yield from text.split()
