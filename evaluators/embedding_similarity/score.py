from promptflow_lite import tool
from promptflow_lite.evaluation.metrics.similarity import cosine


@tool
def score(
    ground_truth: str, is_comparable: bool, left: list | None = None, right: list | None = None
) -> dict:
    """The cosine of two embeddings; 0 for an empty answer, `None` where nothing was wanted."""
    if is_comparable:
        return {"embedding_similarity": cosine(left, right)}
    return {"embedding_similarity": 0.0 if ground_truth.strip() else None}
