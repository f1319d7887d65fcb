from promptflow_lite import tool


@tool
def has_context(context: str) -> bool:
    """Whether there is something that the answer had to keep to."""
    return bool(context.strip())
