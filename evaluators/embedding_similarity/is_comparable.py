from promptflow_lite import tool


@tool
def is_comparable(answer: str, ground_truth: str) -> bool:
    """Whether there are two texts to embed."""
    return bool(answer.strip() and ground_truth.strip())
