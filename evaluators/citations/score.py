from promptflow_lite import tool
from promptflow_lite.evaluation.metrics.citations import citation_scores


@tool
def score(answer: str, sources: list, ground_truth: object) -> dict:
    """The scores of one line; `None` where there is nothing to cite, or nothing is cited."""
    right = ground_truth if isinstance(ground_truth, list) else [ground_truth]
    names = {str(name) for name in right if name}
    scores = citation_scores(answer, [name_of(source) for source in sources or []], names)
    return {
        "precision": scores.precision,
        "recall": scores.recall,
        "cited": scores.cited,
        "unknown": scores.unknown,
    }


def name_of(source: object) -> str:
    """The name of a source; of a document, its id."""
    return str(source.get("id") or "") if isinstance(source, dict) else str(source)
