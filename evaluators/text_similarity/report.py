from collections import Counter

from promptflow_lite import log_metric, tool
from promptflow_lite.evaluation.metrics.texts import corpus_scores
from promptflow_lite.evaluation.summary import means


@tool
def report(scores: list, answers: list, ground_truths: list, tokenizers: list) -> dict:
    """Log the mean of each score, BLEU and chrF of all lines together, and how their texts were cut."""
    metrics = means(scores)
    pairs = [(answer, truth) for answer, truth in zip(answers, ground_truths, strict=True) if truth.strip()]
    if pairs:
        together = corpus_scores(*zip(*pairs, strict=True), tokenizers[0])
        metrics |= {
            "corpus_bleu": together.bleu,
            "corpus_bleu_signature": together.bleu_signature,
            "corpus_chrf": together.chrf,
        }
    cut = Counter(line["tokenizer"] for line in scores if line["tokenizer"])
    metrics |= {f"tokenizer/{name}": count for name, count in sorted(cut.items())}
    for name, value in metrics.items():
        log_metric(name, value)
    return metrics
