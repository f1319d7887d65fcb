"""Two runs over the same questions, graded: what a report is tested on; hostile data, and Japanese ones."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import promptflow_lite as pf
from promptflow_lite.evaluation.report import write_report
from promptflow_lite.runs.home import run_store
from tests.flows_of import write

__all__ = ["EVIL", "MANY", "data_of", "graded", "page_of"]

MANY = 130
EVIL = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"

_FLOW = """\
inputs:
  text: {type: string}
  number: {type: int}
outputs:
  label: {type: string, reference: "${classify.output.label}"}
  answer: {type: string, reference: "${classify.output.answer}"}
  documents: {type: list, reference: "${search.output}"}
nodes:
- name: search
  type: python
  source: {type: code, path: search.py}
  inputs: {number: "${inputs.number}"}
- name: classify
  type: python
  source: {type: code, path: classify.py}
  inputs: {number: "${inputs.number}", text: "${inputs.text}", documents: "${search.output}"}
"""
_SEARCH = """\
from promptflow.core import tool


@tool
def search(number: int) -> list:
    found = [f"d{i}" for i in range(5)]
    return found[number % RIGHT :] + found[: number % RIGHT]
"""
_CLASSIFY = """\
import time

from promptflow.core import tool


@tool
def classify(number: int, text: str, documents: list) -> dict:
    time.sleep(0.002)
    if number == FAILS:
        raise ValueError("cannot classify <b>that</b>")
    return {
        "label": "質問" if number % 10 < RIGHT else "苦情",
        "answer": "お荷物はPOLITE届きます。" if number % 2 else f"It arrives on SAID, not later: {text}",
    }
"""
_SAID = {"weak": ("明日", "Monday"), "strong": ("あさって", "Tuesday")}


def rows(count: int = MANY) -> list[dict[str, Any]]:
    """Line 3 is hostile, line 5 is long."""
    texts = {3: EVIL, 5: "長い文章です。" * 4000}
    return [
        {"text": texts.get(i, f"配送は いつ {i}"), "number": i, "intent": "質問", "right": ["d0"]}
        for i in range(count)
    ]


def graded(folder: Path, count: int = MANY) -> None:
    """`weak` is right six times in ten, `strong` nine times, but fails on line 7; both are graded twice."""
    for name, right, fails in (("weak", 6, -1), ("strong", 9, 7)):
        polite, said = _SAID[name]
        code = _CLASSIFY.replace("RIGHT", str(right)).replace("FAILS", str(fails))
        flow = write(
            folder / name,
            dag=_FLOW,
            classify__py=code.replace("POLITE", polite).replace("SAID", said),
            search__py=_SEARCH.replace("RIGHT", "4" if name == "weak" else "2"),
        )
        base = pf.run(flow, rows(count), name=name)
        pf.run(
            "evaluator:classification",
            rows(count),
            run=base,
            name=f"{name}_grades",
            column_mapping={"prediction": "${run.outputs.label}", "ground_truth": "${data.intent}"},
        )
        pf.run(
            "evaluator:ranking",
            rows(count),
            run=base,
            name=f"{name}_ranks",
            column_mapping={
                "documents": "${run.outputs.documents}",
                "ground_truth": "${data.right}",
                "k": 5,
            },
        )


def page_of(*names: str, folder: Path, **how: Any) -> Path:
    """The file of a report of runs."""
    return write_report(run_store(), names, folder / "report.html", **how)


def data_of(page: Path) -> dict[str, Any]:
    """What the page of a file knows, read as a browser reads it: up to the first end tag."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script', page.read_text(), re.DOTALL)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data
