from promptflow_lite import log_metric, tool
from promptflow_lite.evaluation.summary import means

USUAL = {"reciprocal_rank": "mrr", "average_precision": "map"}


@tool
def report(scores: list, ks: list) -> dict:
    """Log the mean of each score under its usual name, such as recall@10, and how many were skipped."""
    at = f"@{ks[0]}" if len(set(ks)) == 1 else "@k"
    found = means(scores)
    counts = {name: found.pop(name) for name in ("scored", "skipped")}
    metrics = {named(name, at): value for name, value in found.items()} | counts
    for name, value in metrics.items():
        log_metric(name, value)
    return metrics


def named(name: str, at: str) -> str:
    """`recall` as `recall@10`, and `holes/lines` as `holes@10/lines`."""
    score, slash, of = name.partition("/")
    return f"{USUAL.get(score, score)}{at}{slash}{of}"
