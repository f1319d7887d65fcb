from promptflow.core import tool


@tool
def upper(text):
    for part in text:
        yield part.upper()
