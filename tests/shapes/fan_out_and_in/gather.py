from promptflow.core import tool


@tool
def gather(w0, w1, w2, w3):
    return " ".join([w0, w1, w2, w3])
