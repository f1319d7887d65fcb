"""Do our metrics say what independent implementations say, and are they as fast?

    python -m tests.benchmarks.metrics agreement --write     # the table of docs/benchmarks/metrics.md
    python -m tests.benchmarks.metrics speed --lines 100000  # families, ours beside theirs in one run

`agreement` scores the fixed pairs of tests/evaluation/pairs.py (labels and rankings of a fixed seed for the
families that read no text) with both sides and prints the largest difference. `speed` scores the same lines
with both; each side cuts texts by its own means, and what both need (Python, imports, caches of stems) is
warm. The sides take turns in blocks of lines. One thread each.
"""

from __future__ import annotations

import argparse
import random
import re
import string
import time
import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ir_measures
import numpy as np
import sklearn.metrics as sk
from ir_measures import AP, RR, P, R, Success, nDCG
from krippendorff import alpha as their_alpha
from nltk.stem import PorterStemmer
from nltk.translate.gleu_score import sentence_gleu
from nltk.translate.meteor_score import single_meteor_score
from rapidfuzz.distance import Levenshtein
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF  # type: ignore[attr-defined]  # they are its public names
from scipy.spatial import distance

from promptflow_lite.evaluation import agreement
from promptflow_lite.evaluation.metrics import ranking, text
from promptflow_lite.evaluation.metrics.classification import Average, confusion
from promptflow_lite.evaluation.metrics.meteor import meteor
from promptflow_lite.evaluation.metrics.ngrams import bleu, chrf, corpus_bleu, corpus_chrf, gleu
from promptflow_lite.evaluation.metrics.similarity import cosine, edit_similarity
from promptflow_lite.evaluation.metrics.texts import text_scores
from promptflow_lite.evaluation.metrics.usage import used
from promptflow_lite.retrieval.tokenize import tokens
from tests.evaluation.pairs import ALL, ENGLISH, JAPANESE

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks" / "metrics.md"
MARKS = ("<!-- table: begin -->", "<!-- table: end -->")
WITHIN = 1e-9

Score = Callable[[str, str], float]
Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Row:
    """One metric beside one independent implementation."""

    metric: str
    reference: str
    english: float
    """The largest difference over the English pairs."""
    japanese: float
    every: float
    why: str = ""

    def apart(self) -> tuple[float, float, float]:
        """The three differences."""
        return self.english, self.japanese, self.every


class Cut:
    """Our tokens, as rouge-score asks for them."""

    def tokenize(self, value: str) -> list[str]:
        """The words of a text; a character each in scripts without spaces."""
        return tokens(value)


class NoSynonyms:
    """Stands where nltk wants WordNet, which needs a download."""

    def synsets(self, word: str) -> list[object]:
        """No synonyms."""
        return []


STEMMER = PorterStemmer(PorterStemmer.ORIGINAL_ALGORITHM)
LEVELS: tuple[agreement.Level, ...] = ("nominal", "ordinal", "interval")
AVERAGES: tuple[Average, ...] = ("macro", "weighted", "micro")
WEIGHTS: tuple[agreement.Weights | None, ...] = (None, "linear", "quadratic")
ROUGES = ("rouge1", "rouge2", "rougeL")


def spaced(value: str) -> str:
    """Our tokens with spaces between them, for what splits on spaces."""
    return " ".join(tokens(value))


def squad_tokens(value: str) -> list[str]:
    """`normalize_answer` and `get_tokens` of SQuAD's evaluate-v2.0.py, written down again."""
    plain = "".join(c for c in value.lower() if c not in set(string.punctuation))
    return re.sub(r"\b(a|an|the)\b", " ", plain).split()


def squad_f1(answer: str, reference: str) -> float:
    """`compute_f1` of the same script."""
    wanted, given = squad_tokens(reference), squad_tokens(answer)
    if not wanted or not given:
        return float(wanted == given)
    shared = (Counter(wanted) & Counter(given)).total()
    return 2 * shared / (len(wanted) + len(given))


def their_bleu(answer: str, reference: str) -> float:
    """sacrebleu's, of one text."""
    scorer = BLEU(tokenize="none", effective_order=True, force=True)
    return float(scorer.sentence_score(answer, [reference]).score / 100)


def their_rouge(kind: str, part: str, cut: Any = None) -> Score:
    """rouge-score's, with its own tokens or ours."""
    scorer = RougeScorer([kind], tokenizer=cut)
    return lambda answer, reference: float(getattr(scorer.score(reference, answer)[kind], part))


def our_rouge(kind: str, part: str) -> Score:
    """The same figure of ours."""
    field = {"precision": "precision", "recall": "recall", "fmeasure": "f1"}[part]

    def score(answer: str, reference: str) -> float:
        if kind == "rougeL":
            return float(getattr(text.rouge_l(answer, reference), field))
        return float(getattr(text.rouge_n(answer, reference, int(kind[-1])), field))

    return score


def row(metric: str, reference: str, ours: Score, theirs: Score, why: str = "") -> Row:
    """The largest differences of two figures over the pairs."""

    def apart(pairs: Pairs) -> float:
        return max(abs(ours(*pair) - theirs(*pair)) for pair in pairs)

    return Row(metric, reference, apart(ENGLISH), apart(JAPANESE), apart(ALL), why)


def text_rows() -> Iterator[Row]:
    """Every metric of texts: where definitions agree, and where they do not."""
    spaces = "splits on spaces: a Japanese sentence is one word, right or wrong"
    yield row(
        "exact match",
        "SQuAD 2.0's procedure over our tokens",
        text.exact_match,
        lambda a, r: float(
            squad_tokens(spaced(text.normalize(a))) == squad_tokens(spaced(text.normalize(r)))
        ),
    )
    yield row(
        "exact match",
        "SQuAD 2.0's procedure",
        text.exact_match,
        lambda a, r: float(squad_tokens(a) == squad_tokens(r)),
        "it strips ASCII punctuation only, and knows no NFKC: full-width and half-width differ",
    )
    yield row(
        "token F1",
        "SQuAD 2.0's procedure over our tokens",
        lambda a, r: text.token_f1(a, r).f1,
        lambda a, r: squad_f1(spaced(text.normalize(a)), spaced(text.normalize(r))),
    )
    yield row("token F1", "SQuAD 2.0's procedure", lambda a, r: text.token_f1(a, r).f1, squad_f1, spaces)
    yield row("BLEU", "sacrebleu over our tokens", bleu, lambda a, r: their_bleu(spaced(a), spaced(r)))
    plain = BLEU(effective_order=True)
    yield row(
        "BLEU",
        "sacrebleu as it comes",
        bleu,
        lambda a, r: float(plain.sentence_score(a, [r]).score / 100),
        "its tokenizer 13a keeps punctuation and case, and splits on spaces; the signatures differ",
    )
    yield row("GLEU", "nltk over our tokens", gleu, lambda a, r: float(sentence_gleu([tokens(r)], tokens(a))))
    yield row(
        "METEOR",
        "nltk over our tokens, without synonyms",
        meteor,
        lambda a, r: float(single_meteor_score(tokens(r), tokens(a), stemmer=STEMMER, wordnet=NoSynonyms())),
        "with WordNet's synonyms, which need a download, nltk gives more where words differ",
    )
    yield row("chrF", "sacrebleu", chrf, lambda a, r: float(CHRF().sentence_score(a, [r]).score / 100))
    for kind, name in zip(ROUGES, ("ROUGE-1", "ROUGE-2", "ROUGE-L"), strict=True):
        for part, word in (("precision", "precision"), ("recall", "recall"), ("fmeasure", "F")):
            yield row(
                f"{name} {word}",
                "rouge-score over our tokens",
                our_rouge(kind, part),
                their_rouge(kind, part, Cut()),
            )
    yield row(
        "ROUGE-L F",
        "rouge-score as it comes",
        our_rouge("rougeL", "fmeasure"),
        their_rouge("rougeL", "fmeasure"),
        "its tokens are ASCII: two Japanese texts, even the same one, score 0",
    )
    yield row(
        "edit similarity",
        "rapidfuzz, NFKC before",
        edit_similarity,
        lambda a, r: Levenshtein.normalized_similarity(nfkc(a), nfkc(r)),
    )
    yield row(
        "edit similarity",
        "rapidfuzz",
        edit_similarity,
        Levenshtein.normalized_similarity,
        "full-width and half-width forms are other characters to it",
    )
    corpora = [[*zip(*pairs, strict=True)] for pairs in (ENGLISH, JAPANESE, ALL)]
    scorer = BLEU(tokenize="none", force=True)
    yield Row(
        "BLEU, all lines together",
        "sacrebleu over our tokens",
        *(
            abs(corpus_bleu(a, r) - scorer.corpus_score([*map(spaced, a)], [[*map(spaced, r)]]).score / 100)
            for a, r in corpora
        ),
    )
    yield Row(
        "chrF, all lines together",
        "sacrebleu",
        *(abs(corpus_chrf(a, r) - CHRF().corpus_score([*a], [[*r]]).score / 100) for a, r in corpora),
    )


def nfkc(value: str) -> str:
    """Full-width and half-width forms made equal."""
    return unicodedata.normalize("NFKC", value)


def other_rows() -> Iterator[Row]:
    """Metrics that read no text: labels, rankings, vectors and ratings of a fixed seed."""
    names = ["order", "refund", "返品", "配送", "other"]
    truth, predicted = labels(400, names)
    for metric, value in label_figures(truth, predicted).items():
        yield alike(metric, "scikit-learn", abs(value - their_label_figures(truth, predicted)[metric]))
    found = rankings(200)
    ours = [ranking_figures(*one) for one in found]
    theirs = their_ranking_figures(found)
    for metric in ours[0]:
        apart = max(abs(a[metric] - b[metric]) for a, b in zip(ours, theirs, strict=True))
        yield alike(metric, "ir-measures", apart)
    gains = [
        abs(ranking.ndcg(order, grades, 10, gain="exp") - their_exponential(order, grades))
        for order, grades in found
    ]
    yield alike("nDCG@10, exponential gains", "scikit-learn", max(gains))
    vectors = np.random.default_rng(1).normal(size=(100, 2, 64))
    yield alike("cosine", "scipy", max(abs(cosine(a, b) - (1 - distance.cosine(a, b))) for a, b in vectors))
    chance = random.Random(3)
    pairs = [(chance.randint(1, 5), chance.randint(1, 5)) for _ in range(200)]
    for level in LEVELS:
        expected = their_alpha(np.array(pairs).T, level_of_measurement=level)
        found_alpha = agreement.alpha(pairs, level) or 0.0
        yield alike(f"Krippendorff's alpha, {level}", "krippendorff", abs(found_alpha - expected))
    for weights in WEIGHTS:
        expected = sk.cohen_kappa_score(*zip(*pairs, strict=True), weights=weights)
        found_kappa = agreement.kappa(pairs, weights) or 0.0
        yield alike(f"Cohen's kappa, {weights or 'no'} weights", "scikit-learn", abs(found_kappa - expected))


def usage_rows() -> Iterator[Row]:
    """The figures of a run: seconds, tokens, cost and failures of lines of a fixed seed."""
    ours, theirs = usage_figures(*lines_of(997)), their_usage_figures(*lines_of(997))
    names = {f"seconds_p{one}": f"latency, {one}th percentile" for one in (50, 90, 95, 99)}
    names |= {"total_tokens": "tokens of a line", "cost": "cost", "failure_rate": "failure rate"}
    for name, words in names.items():
        yield alike(words, "numpy", abs(ours[name] - theirs[name]))


def lines_of(count: int) -> tuple[list[float], list[int], list[float | None], int]:
    """Seconds, tokens and costs of lines, and how many failed."""
    chance = random.Random(13)
    seconds = [chance.lognormvariate(0, 1) for _ in range(count)]
    return seconds, [chance.randint(50, 900) for _ in seconds], [chance.random() / 100 for _ in seconds], 31


def usage_figures(*lines: Any) -> dict[str, float]:
    """Every figure of ours."""
    return used(*lines)


def their_usage_figures(seconds: Any, tokens: Any, costs: Any, failed: int) -> dict[str, float]:
    """The same of numpy."""
    found = dict(
        zip(
            ("seconds_p50", "seconds_p90", "seconds_p95", "seconds_p99"),
            np.percentile(seconds, [50, 90, 95, 99]),
            strict=True,
        )
    )
    failures = np.array([0] * len(seconds) + [1] * failed)
    return {
        **{name: float(value) for name, value in found.items()},
        "total_tokens": float(np.mean(tokens)),
        "cost": float(np.sum(costs)),
        "failure_rate": float(failures.mean()),
    }


def alike(metric: str, reference: str, apart: float) -> Row:
    """A row of a metric that knows no languages."""
    return Row(metric, reference, float("nan"), float("nan"), float(apart))


def labels(count: int, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """True and predicted labels, right in 7 of 10."""
    chance = random.Random(7)
    truth = chance.choices(names, k=count)
    return truth, [t if chance.random() < 0.7 else chance.choice(names) for t in truth]


def label_figures(truth: list[str], predicted: list[str]) -> dict[str, float]:
    """Every figure of ours."""
    found = confusion(truth, predicted)
    one = found.of_class(found.labels[0])
    return {
        "accuracy": found.accuracy(),
        "precision of a class": one.precision,
        "recall of a class": one.recall,
        "F1 of a class": one.f1,
        **{
            f"{figure}, {how}": getattr(found.average(how), figure.lower())
            for how in AVERAGES
            for figure in ("precision", "recall", "F1")
        },
        "balanced accuracy": found.balanced_accuracy(),
        "Cohen's kappa": found.cohen_kappa(),
        "Matthews correlation": found.matthews(),
    }


def their_label_figures(truth: list[str], predicted: list[str]) -> dict[str, float]:
    """The same of scikit-learn."""
    precision, recall, f1, _ = sk.precision_recall_fscore_support(truth, predicted, zero_division=0)
    return {
        "accuracy": sk.accuracy_score(truth, predicted),
        "precision of a class": precision[0],
        "recall of a class": recall[0],
        "F1 of a class": f1[0],
        **{
            f"{figure}, {how}": value
            for how in AVERAGES
            for figure, value in zip(
                ("precision", "recall", "F1"),
                sk.precision_recall_fscore_support(truth, predicted, average=how, zero_division=0)[:3],
                strict=True,
            )
        },
        "balanced accuracy": sk.balanced_accuracy_score(truth, predicted),
        "Cohen's kappa": sk.cohen_kappa_score(truth, predicted),
        "Matthews correlation": sk.matthews_corrcoef(truth, predicted),
    }


Ranked = tuple[list[str], dict[str, int]]
MEASURES = {
    "hit@5": Success @ 5,
    "precision@5": P @ 5,
    "recall@5": R @ 5,
    "MRR@10": RR @ 10,
    "MAP@10": AP @ 10,
    "nDCG@10": nDCG @ 10,
}


def rankings(count: int) -> list[Ranked]:
    """Ten documents found of thirty, of which five are judged."""
    chance = random.Random(11)
    names = [f"d{number}" for number in range(30)]
    return [
        (chance.sample(names, 10), {"d0": 1, **{n: chance.randint(0, 3) for n in chance.sample(names, 5)}})
        for _ in range(count)
    ]


def ranking_figures(order: list[str], grades: dict[str, int]) -> dict[str, float]:
    """Every figure of ours."""
    right = {name for name, grade in grades.items() if grade > 0}
    return {
        "hit@5": ranking.hit(order, right, 5),
        "precision@5": ranking.precision(order, right, 5),
        "recall@5": ranking.recall(order, right, 5),
        "MRR@10": ranking.reciprocal_rank(order, right, 10),
        "MAP@10": ranking.average_precision(order, right, 10),
        "nDCG@10": ranking.ndcg(order, grades, 10),
    }


def their_ranking_figures(found: Sequence[Ranked]) -> list[dict[str, float]]:
    """The same of ir-measures."""
    judged = {str(n): grades for n, (_, grades) in enumerate(found)}
    run = {
        str(n): {name: float(-place) for place, name in enumerate(order)}
        for n, (order, _) in enumerate(found)
    }
    results: list[dict[str, float]] = [{} for _ in found]
    by_measure = {measure: name for name, measure in MEASURES.items()}
    for metric in ir_measures.iter_calc(list(by_measure), judged, run):
        results[int(metric.query_id)][by_measure[metric.measure]] = metric.value
    return results


def their_exponential(order: Sequence[str], grades: dict[str, int]) -> float:
    """scikit-learn's nDCG, over the documents found and those that were judged beside them."""
    names = [*order, *(name for name in grades if name not in order)]
    gains = np.array([[2.0 ** grades.get(name, 0) - 1 for name in names]])
    places = np.array([[float(-place) for place in range(len(names))]])
    gains[0, len(order) :] *= 0  # what was not found gains nothing ...
    found = float(sk.dcg_score(gains, places, k=10, ignore_ties=True))
    best = sorted((2.0**grade - 1 for grade in grades.values()), reverse=True)[:10]
    ideal = np.array([best + [0.0] * (10 - len(best))])  # ... but is a part of the best order
    return found / float(sk.dcg_score(ideal, np.array([[float(-p) for p in range(10)]]), ignore_ties=True))


def table(rows: Sequence[Row]) -> str:
    """The rows in Markdown."""
    lines = [
        "| metric | beside | English | Japanese | all | |",
        "|---|---|--:|--:|--:|---|",
        *(
            "| "
            + " | ".join([r.metric, r.reference, *map(figure, (r.english, r.japanese, r.every)), r.why])
            + " |"
            for r in rows
        ),
    ]
    return "\n".join(lines)


def figure(value: float) -> str:
    """A difference: what is within 1e-9 is none."""
    if value != value:
        return ""
    return "0" if value <= WITHIN else f"{value:.2f}"


def all_rows() -> list[Row]:
    """The whole table."""
    return [*text_rows(), *other_rows(), *usage_rows()]


@dataclass
class Side:
    """What one side took."""

    name: str
    score: Callable[[Any], object]
    seconds: float = 0.0


def race(family: str, blocks: Sequence[Any], sides: Sequence[Side], count: int) -> None:
    """Print what each side takes for all blocks; they take turns, in a random order."""
    chance = random.Random(5)
    for side in sides:
        side.score(blocks[0])  # warm
    for block in blocks:
        for side in chance.sample(sides, len(sides)):
            start = time.process_time()
            side.score(block)
            side.seconds += time.process_time() - start
    ours, theirs = sides
    ratio = theirs.seconds / ours.seconds
    print(
        f"| {family} | {theirs.name} | {count:,} | {ours.seconds:.2f} | {theirs.seconds:.2f} | {ratio:.1f} |",
        flush=True,
    )


def in_blocks(items: Any, number: int = 20) -> list[Sequence[Any]]:
    """The items in about that many parts."""
    size = max(1, len(items) // number)
    return [items[start : start + size] for start in range(0, len(items), size)]


def speed(count: int) -> None:
    """Every family, ours beside theirs."""
    print(
        "| family | beside | lines | ours, CPU s | theirs, CPU s | times as fast |\n|---|---|--:|--:|--:|--:|"
    )
    for name, pairs in (("English", ENGLISH), ("Japanese", JAPANESE)):
        texts = in_blocks([pairs[n % len(pairs)] for n in range(count)])
        race(f"text, {name}", texts, text_sides(name), count)
    truth, predicted = labels(count, [f"label {number}" for number in range(150)])
    sides = [
        Side("ours", lambda block: label_figures(*block)),
        Side("scikit-learn", lambda block: their_label_figures(*block)),
    ]
    race("classification, 150 labels", [(truth, predicted)], sides, count)
    sides = [
        Side("ours", lambda block: [ranking_figures(*one) for one in block]),
        Side("ir-measures (trec_eval in C)", their_ranking_figures),
    ]
    race("ranking", in_blocks(rankings(count)), sides, count)
    vectors = np.random.default_rng(1).normal(size=(count, 2, 64))
    sides = [
        Side("ours", lambda block: [cosine(a, b) for a, b in block]),
        Side("scipy", lambda block: [1 - distance.cosine(a, b) for a, b in block]),
    ]
    race("cosine", in_blocks(vectors), sides, count)
    sides = [
        Side("ours", lambda block: usage_figures(*block)),
        Side("numpy", lambda block: their_usage_figures(*block)),
    ]
    race("run", [lines_of(count)] * 5, sides, count)


def text_sides(language: str) -> list[Side]:
    """All metrics of texts; the other side is given our tokens of Japanese, which it cannot cut."""
    rouge = RougeScorer([*ROUGES], tokenizer=None if language == "English" else Cut())
    sentence = BLEU(effective_order=True, tokenize="13a" if language == "English" else "char")
    characters = CHRF()

    def theirs(block: Pairs) -> None:
        for answer, reference in block:
            given, wanted = tokens(answer), tokens(reference)
            squad_f1(answer, reference)
            squad_tokens(answer) == squad_tokens(reference)  # noqa: B015  # exact match
            sentence.sentence_score(answer, [reference])
            characters.sentence_score(answer, [reference])
            sentence_gleu([wanted], given)
            single_meteor_score(wanted, given, stemmer=STEMMER, wordnet=NoSynonyms())
            rouge.score(reference, answer)
            Levenshtein.normalized_similarity(answer, reference)

    def ours(block: Pairs) -> None:
        for answer, reference in block:
            text_scores(answer, reference, "mixed")

    return [Side("ours", ours), Side("sacrebleu, nltk, rouge-score, rapidfuzz", theirs)]


def main() -> None:
    """Print a table; `--write` puts that of agreement into the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["agreement", "speed"])
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--write", action="store_true", help="put the table of agreement into the page")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    if asked.what == "speed":
        speed(asked.lines)
        return
    names = (
        "sacrebleu",
        "nltk",
        "rouge-score",
        "rapidfuzz",
        "scikit-learn",
        "ir-measures",
        "krippendorff",
        "scipy",
    )
    made = f"{table(all_rows())}\n\nBeside " + ", ".join(f"{name} {version(name)}" for name in names) + "."
    print(made)
    if asked.write:
        page = PAGE.read_text(encoding="utf-8")
        before, _, rest = page.partition(MARKS[0])
        _, _, after = rest.partition(MARKS[1])
        PAGE.write_text(f"{before}{MARKS[0]}\n{made}\n{MARKS[1]}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
