from promptflow import tool


@tool(name="Twice", description="Doubles a number", type="python")
def n(x: int) -> int:
    return 2 * x
