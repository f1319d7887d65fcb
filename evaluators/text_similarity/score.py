from promptflow_lite import tool
from promptflow_lite.evaluation.metrics.texts import text_scores

OVERLAPS = ("f1", "rouge_1", "rouge_2", "rouge_l")
SINGLE = ("exact_match", "bleu", "gleu", "chrf", "meteor", "edit_similarity", "tokenizer")


@tool
def score(answer: str, ground_truth: str, tokenizer: str) -> dict:
    """The scores of one line; `None` where there is nothing to compare with."""
    scores = text_scores(answer, ground_truth, tokenizer) if ground_truth.strip() else None
    found = {name: getattr(scores, name, None) for name in SINGLE}
    for name in OVERLAPS:
        overlap = getattr(scores, name, None)
        found[name] = getattr(overlap, "f1", None)
        found[f"{name}_precision"] = getattr(overlap, "precision", None)
        found[f"{name}_recall"] = getattr(overlap, "recall", None)
    return found
