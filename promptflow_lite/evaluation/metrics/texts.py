"""What does an answer score beside the one that was wanted, in every figure that needs no model?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from promptflow_lite.evaluation.metrics.meteor import meteor
from promptflow_lite.evaluation.metrics.ngrams import (
    BLEU_SIGNATURE,
    bleu,
    chrf,
    corpus_bleu,
    corpus_chrf,
    gleu,
)
from promptflow_lite.evaluation.metrics.similarity import edit_similarity
from promptflow_lite.evaluation.metrics.text import Overlap, exact_match, rouge_l, rouge_n, token_f1
from promptflow_lite.evaluation.metrics.tokenizers import Tokenize, Tokenizer, tokenizer

__all__ = ["CorpusScores", "TextScores", "corpus_scores", "text_scores"]


@dataclass(frozen=True, slots=True)
class TextScores:
    """What one answer scores; everything from 0 to 1."""

    exact_match: float
    f1: Overlap
    bleu: float
    gleu: float
    chrf: float
    meteor: float
    rouge_1: Overlap
    rouge_2: Overlap
    rouge_l: Overlap
    edit_similarity: float
    tokenizer: str
    """Which cut the texts: what `auto` chose is a part of what the figures mean."""


@dataclass(frozen=True, slots=True)
class CorpusScores:
    """What many answers score together: counts are added before they are divided."""

    bleu: float
    chrf: float
    bleu_signature: str
    """As sacrebleu writes it, with our tokenizers."""


def text_scores(answer: str, reference: str, kind: Tokenizer = "auto") -> TextScores:
    """Every figure of one answer; each text is cut once.

    Args:
        answer: what was given.
        reference: what was wanted.
        kind: the tokenizer; `auto` looks at the script of both.

    Raises:
        MissingExtra: the tokenizer needs a package that is not installed.

    >>> scores = text_scores("首都は東京です", "東京", "mixed")
    >>> scores.f1.recall, scores.rouge_1.recall, scores.tokenizer
    (1.0, 1.0, 'mixed')
    """
    name, cut = tokenizer(kind, (answer, reference))
    once = _once(cut)
    return TextScores(
        exact_match=exact_match(answer, reference, tokenize=once),
        f1=token_f1(answer, reference, tokenize=once),
        bleu=bleu(answer, reference, tokenize=once),
        gleu=gleu(answer, reference, tokenize=once),
        chrf=chrf(answer, reference),
        meteor=meteor(answer, reference, tokenize=once),
        rouge_1=rouge_n(answer, reference, 1, tokenize=once),
        rouge_2=rouge_n(answer, reference, 2, tokenize=once),
        rouge_l=rouge_l(answer, reference, tokenize=once),
        edit_similarity=edit_similarity(answer, reference),
        tokenizer=name,
    )


def corpus_scores(
    answers: Sequence[str], references: Sequence[str], kind: Tokenizer = "auto"
) -> CorpusScores:
    """BLEU and chrF of many answers together, all of them cut by one tokenizer.

    Args:
        answers: what was given.
        references: what was wanted, in the same order.
        kind: the tokenizer; `auto` looks at the script of all.

    Raises:
        MissingExtra: the tokenizer needs a package that is not installed.
    """
    name, cut = tokenizer(kind, (*answers, *references))
    return CorpusScores(
        bleu=corpus_bleu(answers, references, tokenize=cut),
        chrf=corpus_chrf(answers, references),
        bleu_signature=BLEU_SIGNATURE.format(eff="no", tok=name),
    )


def _once(cut: Tokenize) -> Tokenize:
    """The same tokenizer, remembering what it cut; for the few texts of a line."""
    known: dict[str, list[str]] = {}

    def tokenize(text: str) -> list[str]:
        if text not in known:
            known[text] = cut(text)
        return known[text]

    return tokenize
