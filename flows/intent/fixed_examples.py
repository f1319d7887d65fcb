import json
from collections import defaultdict
from pathlib import Path

from promptflow.core import tool

LINES = Path(__file__).with_name("examples.jsonl").read_text(encoding="utf-8").splitlines()


@tool
def fixed_examples(per_intent: int) -> list:
    """The first examples of each intent, in the shape in which the retrieval node gives them."""
    by_intent = defaultdict(list)
    for line in LINES:
        example = json.loads(line)
        by_intent[example["intent"]].append(example)
    chosen = [example for examples in by_intent.values() for example in examples[:per_intent]]
    return [{"content": example["content"], "metadata": {"intent": example["intent"]}} for example in chosen]
