from promptflow.core import tool


@tool
async def parts(text: str):
    for word in text.split():
        yield word
