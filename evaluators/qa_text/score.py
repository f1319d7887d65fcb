import re

from promptflow_lite import tool
from promptflow_lite.evaluation.metrics.text import contains, exact_match, rouge_l, token_f1

CITATION = re.compile(r"\s*\[\d+\]")


@tool
def score(answer: str, ground_truth: str, key_fact: str) -> dict:
    """The scores of one line; `None` where there is nothing to compare with."""
    plain = CITATION.sub("", answer)
    has_truth, has_fact = bool(ground_truth.strip()), bool(key_fact.strip())
    return {
        "exact_match": exact_match(plain, ground_truth) if has_truth else None,
        "f1": token_f1(plain, ground_truth).f1 if has_truth else None,
        "rouge_l": rouge_l(plain, ground_truth).f1 if has_truth else None,
        "key_fact": contains(plain, key_fact) if has_fact else None,
    }
