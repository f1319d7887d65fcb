"""Does a model that judges give answers of the form that is asked for, and does it see what is wrong?

    python -m tests.benchmarks.judges --data ../shared/data --questions 4
    PF_LOCAL_MODEL=qwen2.5-coder-1.5b python -m tests.benchmarks.judges --data ../shared/data

Prints a Markdown table. For each judge every question, half of XQuAD and half of JSQuAD, makes two lines:
one that is right, and one with the answer, a sentence or the passage of another question in its place. For
coherence and fluency the wrong one is the right one with its words shuffled. So a judge that is worth
asking gives the right line more; how often it does is shown, beside how many answers could not be read.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptflow_lite import evaluate

_LONGEST = {"xquad-en": 500, "jsquad": 200}
"""Characters of a passage: longer ones make a small model slow, and no better test of reading answers."""

Line = dict[str, Any]


@dataclass(frozen=True)
class Item:
    """A question, and what is right for it."""

    question: str
    answer: str
    passage: str
    sentence: str
    """The sentence of the passage that holds the answer."""


def items(data: Path, name: str, count: int) -> list[Item]:
    """Questions about passages that are far from each other; the same at every call."""
    passages = {row["id"]: row["content"] for row in _rows(data / name / "passages.jsonl")}
    found: dict[str, Item] = {}
    for row in _rows(data / name / "questions.jsonl"):
        passage, answer = passages[row["passage_id"]], row["answers"][0]
        sentence = next((one for one in _sentences(passage) if answer in one), None)
        title = row["passage_id"].partition("#")[0]
        if title not in found and sentence is not None and len(passage) <= _LONGEST[name]:
            found[title] = Item(row["question"], answer, passage, sentence)
    every = list(found.values())
    return every[:: max(len(every) // count, 1)][:count]


def shuffled(text: str) -> str:
    """A text with its words, or pairs of characters where there are no spaces, in another order."""
    words = text.split() if text.isascii() else re.findall(r".{1,2}", text)
    random.Random(0).shuffle(words)
    return (" " if text.isascii() else "").join(words)


def _said(item: Item) -> list[Line]:
    return [{"role": "user", "content": item.passage}, {"role": "assistant", "content": "OK."}]


JUDGES: Mapping[str, Callable[[Item, Item], tuple[Line, Line]]] = {
    "groundedness": lambda a, b: (
        {"answer": a.sentence, "context": a.passage},
        {"answer": b.sentence, "context": a.passage},
    ),
    "relevance": lambda a, b: (
        {"question": a.question, "answer": a.sentence},
        {"question": a.question, "answer": b.sentence},
    ),
    "coherence": lambda a, b: (
        {"question": a.question, "answer": a.passage},
        {"question": a.question, "answer": shuffled(a.passage)},
    ),
    "fluency": lambda a, b: ({"answer": a.sentence}, {"answer": shuffled(a.sentence)}),
    "similarity": lambda a, b: (
        {"question": a.question, "answer": a.sentence, "ground_truth": a.answer},
        {"question": a.question, "answer": b.sentence, "ground_truth": a.answer},
    ),
    "intent_resolution": lambda a, b: (
        {"question": a.question, "answer": a.sentence},
        {"question": a.question, "answer": b.sentence},
    ),
    "answer_correctness": lambda a, b: (
        {"question": a.question, "answer": a.sentence, "ground_truth": a.sentence},
        {"question": a.question, "answer": b.sentence, "ground_truth": a.sentence},
    ),
    "faithfulness": lambda a, b: (
        {"question": a.question, "answer": a.sentence, "context": a.passage},
        {"question": a.question, "answer": b.sentence, "context": a.passage},
    ),
    "context_precision": lambda a, b: (
        {"question": a.question, "documents": [a.passage, b.passage], "ground_truth": a.answer},
        {"question": a.question, "documents": [b.passage, a.passage], "ground_truth": a.answer},
    ),
    "context_recall": lambda a, b: (
        {"question": a.question, "context": a.passage, "ground_truth": a.sentence},
        {"question": a.question, "context": b.passage, "ground_truth": a.sentence},
    ),
    "conversation_relevance": lambda a, b: (
        {"question": a.question, "answer": a.sentence, "history": _said(a)},
        {"question": a.question, "answer": b.sentence, "history": _said(a)},
    ),
    "goal_resolution": lambda a, b: (
        {"conversation": [{"question": a.question, "answer": a.sentence}]},
        {"conversation": [{"question": a.question, "answer": b.sentence}]},
    ),
    "pairwise": lambda a, b: (
        {"question": a.question, "answer": a.sentence, "baseline_answer": b.sentence},
        {"question": a.question, "answer": b.sentence, "baseline_answer": a.sentence},
    ),
}
"""By judge, the right and the wrong line that two items make."""

SCORE = {"pairwise": "preference"}
"""The output that is the score, where it is not called as the judge is."""


def measure(name: str, pairs: Sequence[tuple[Line, Line]]) -> str:
    """Let a judge judge; its row of the table."""
    began = time.perf_counter()
    found = evaluate([line for pair in pairs for line in pair], [name], concurrency=2)
    seconds = time.perf_counter() - began
    scores = [row[f"{name}.{SCORE.get(name, name)}"] for row in found.rows]
    both = [
        (right, wrong)
        for right, wrong in zip(scores[::2], scores[1::2], strict=True)
        if None not in (right, wrong)
    ]
    for row in found.rows:
        print(f"<!-- {row[f'{name}.{SCORE.get(name, name)}']}: {row[f'{name}.reason']} -->", flush=True)
    cells = [
        name,
        len(scores),
        found.metrics[f"{name}.unreadable"],
        found.runs[name].lines.failed,
        *(f"{sum(side) / len(side):.2f}" if side else "" for side in zip(*both, strict=True)),
        sum(right > wrong for right, wrong in both),
        sum(right == wrong for right, wrong in both),
        sum(right < wrong for right, wrong in both),
        f"{seconds / len(scores):.1f}",
    ]
    return f"| {' | '.join(map(str, cells))} |"


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _sentences(text: str) -> list[str]:
    return [one.strip() for one in re.split(r"(?<=[.!?。！？])\s*", text) if len(one) > 20]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of the data sets")
    parser.add_argument("--questions", type=int, default=4)
    parser.add_argument("--judge", nargs="*", choices=list(JUDGES), default=list(JUDGES))
    asked = parser.parse_args()
    half = asked.questions // 2
    groups = [items(asked.data, "xquad-en", half), items(asked.data, "jsquad", asked.questions - half)]
    print("| judge | lines | unreadable | failed | right, mean | wrong, mean | above | equal | below | s |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|", flush=True)
    for name in asked.judge:
        pairs = [
            JUDGES[name](item, group[(number + 1) % len(group)])
            for group in groups
            for number, item in enumerate(group)
        ]
        print(measure(name, pairs), flush=True)


if __name__ == "__main__":
    main()
