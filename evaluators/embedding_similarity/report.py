from promptflow_lite import log_metric, tool
from promptflow_lite.evaluation.summary import means


@tool
def report(scores: list) -> dict:
    """Log the mean of each score, over how many lines it was taken, and how many were skipped."""
    metrics = means(scores)
    for name, value in metrics.items():
        log_metric(name, value)
    return metrics
