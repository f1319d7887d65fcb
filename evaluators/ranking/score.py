from promptflow_lite import tool
from promptflow_lite.evaluation.documents import grades_of, names_of
from promptflow_lite.evaluation.metrics.ranking import (
    average_precision,
    hit,
    holes,
    ndcg,
    precision,
    recall,
    reciprocal_rank,
)


@tool
def score(documents: list, ground_truth: object, k: int, gain: str, key: str) -> dict:
    """The scores of one search; `None` where nothing is known to be right."""
    if k < 1 or gain not in ("linear", "exp"):
        raise ValueError(f"expected k of 1 or more and gain linear or exp, got {k} and {gain!r}")
    found, grades = names_of(documents, key), grades_of(ground_truth, key)
    right = {name for name, grade in grades.items() if grade > 0}
    has_truth = bool(right)
    # Where only the right ones are named, nobody judged the others, and holes say nothing.
    is_graded = any(grade != 1 for grade in grades.values())
    return {
        "hit": hit(found, right, k) if has_truth else None,
        "precision": precision(found, right, k) if has_truth else None,
        "recall": recall(found, right, k) if has_truth else None,
        "reciprocal_rank": reciprocal_rank(found, right, k) if has_truth else None,
        "average_precision": average_precision(found, right, k) if has_truth else None,
        "ndcg": ndcg(found, grades, k, gain=gain) if has_truth else None,
        "holes": holes(found, grades, k) if has_truth and is_graded else None,
    }
