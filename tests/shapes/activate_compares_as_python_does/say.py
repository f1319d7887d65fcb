from promptflow.core import tool


@tool
def say(x):
    return repr(x)
