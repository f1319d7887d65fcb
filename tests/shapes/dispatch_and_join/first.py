from promptflow.core import tool


@tool
def first(product=None, order=None, human=None):
    return product or order or human
