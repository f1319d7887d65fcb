from dataclasses import asdict, fields

from promptflow_lite import tool
from promptflow_lite.evaluation.documents import grades_of, names_of
from promptflow_lite.evaluation.metrics.retrieval import Retrieval, retrieval


@tool
def score(documents: list, ground_truth: object, k: int, key: str) -> dict:
    """The scores of one search; `None` where nothing was judged."""
    if k < 1:
        raise ValueError(f"expected k of 1 or more, got {k}")
    grades = grades_of(ground_truth, key)
    broken = sorted(name for name, grade in grades.items() if grade != int(grade))
    if broken:
        raise ValueError(f"expected whole grades, got {grades[broken[0]]} for {broken[0]!r}")
    if not grades:
        return {field.name: None for field in fields(Retrieval)}
    whole = {name: int(grade) for name, grade in grades.items()}
    return asdict(retrieval(names_of(documents, key), whole, k))
