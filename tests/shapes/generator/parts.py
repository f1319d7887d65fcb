from promptflow.core import tool


@tool
def parts(text: str):
    for word in text.split():
        yield word + " "
    yield 3
