"""A model's answer, tidied up."""

from promptflow_lite import tool


@tool
def tidy(title: str) -> str:
    """The first line of the title, without quotes and a full stop."""
    lines = title.strip().splitlines() or [""]
    return lines[0].strip(" \"'*#").rstrip(".")
