from promptflow.core import tool


@tool
def n(**kwargs):
    return dict(sorted(kwargs.items()))
