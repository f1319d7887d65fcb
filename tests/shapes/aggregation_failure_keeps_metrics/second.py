from promptflow.core import tool


@tool
def second(value):
    raise ValueError(f"no more of {value}")
