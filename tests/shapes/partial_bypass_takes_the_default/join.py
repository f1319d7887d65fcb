from promptflow.core import tool


@tool
def join(left, right="kept"):
    return f"{left}|{right}"
