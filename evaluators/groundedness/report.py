from promptflow_lite import log_metric, tool


@tool
def report(readings: list) -> dict:
    """Log the mean score over the lines that have one, and how many were unreadable or skipped."""
    scores = [line["score"] for line in readings if line["score"] is not None]
    unreadable = sum(line["unreadable"] for line in readings)
    counts = {
        "scored": len(scores),
        "unreadable": unreadable,
        "skipped": len(readings) - len(scores) - unreadable,
    }
    metrics = {"groundedness": sum(scores) / len(scores), **counts} if scores else counts
    for name, value in metrics.items():
        log_metric(name, value)
    return metrics
