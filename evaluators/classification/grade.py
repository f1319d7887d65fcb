from promptflow_lite import tool


@tool
def grade(prediction: str, ground_truth: str, labels: list) -> str:
    """Whether one line's label is correct, wrong, invalid or skipped."""
    prediction, ground_truth = prediction.strip(), ground_truth.strip()
    if not ground_truth:
        return "skipped"
    if labels and ground_truth not in labels:
        raise ValueError(f"the true label {ground_truth!r} is not among the known labels {labels}")
    if prediction == ground_truth:
        return "correct"
    return "invalid" if not prediction or (labels and prediction not in labels) else "wrong"
