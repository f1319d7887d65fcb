"""Is one answer correct?"""

from promptflow_lite import tool


@tool
def grade(answer: str, expected: str) -> str:
    """Whether the answer is the expected one; case, spaces at the ends and a full stop do not count."""
    return "correct" if _bare(answer) == _bare(expected) else "incorrect"


def _bare(text: str) -> str:
    return text.strip().rstrip(".。").casefold()
