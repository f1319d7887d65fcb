from promptflow_lite import log_metric, tool
from promptflow_lite.evaluation.metrics.classification import confusion


@tool
def report(grades: list, predictions: list, ground_truths: list, labels: list) -> dict:
    """Log the figures of the whole run; the confusion matrix is also the node's output."""
    lines = [line for line in zip(grades, predictions, ground_truths, strict=True) if line[0] != "skipped"]
    predicted, true = [line[1].strip() for line in lines], [line[2].strip() for line in lines]
    found = confusion(true, predicted, labels[0] if labels else ())
    log_metric("scored", len(lines))
    log_metric("skipped", len(grades) - len(lines))
    if not lines:
        return {}
    log_metric("invalid", found.invalid)
    log_metric("accuracy", found.accuracy())
    log_metric("macro_f1", found.macro_f1())
    log_metric("weighted_f1", found.weighted_f1())
    log_metric("micro_f1", found.micro_f1())
    log_metric("balanced_accuracy", found.balanced_accuracy())
    log_metric("cohen_kappa", found.cohen_kappa())
    log_metric("matthews", found.matthews())
    for how in ("macro", "weighted", "micro"):
        log_metric(f"{how}_precision", found.average(how).precision)
        log_metric(f"{how}_recall", found.average(how).recall)
    for label in found.seen:
        score = found.of_class(label)
        log_metric(f"f1/{label}", score.f1)
        log_metric(f"precision/{label}", score.precision)
        log_metric(f"recall/{label}", score.recall)
    log_metric("confusion", found.table())
    return found.table()
