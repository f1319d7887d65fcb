from promptflow_lite import log_metric, tool


@tool
def report(scores: list) -> dict:
    """Log the means, over how many lines each was taken, and how many citations are of no passage."""
    precision = [line["precision"] for line in scores if line["precision"] is not None]
    recall = [line["recall"] for line in scores if line["recall"] is not None]
    skipped = sum(line["precision"] is None and line["recall"] is None for line in scores)
    means = {
        "with_citations": len(precision),
        "with_ground_truth": len(recall),
        "scored": len(scores) - skipped,
        "skipped": skipped,
        "unknown": sum(line["unknown"] for line in scores),
    }
    if precision:
        means["citation_precision"] = sum(precision) / len(precision)
    if recall:
        means["citation_recall"] = sum(recall) / len(recall)
    for name, value in means.items():
        log_metric(name, value)
    return means
