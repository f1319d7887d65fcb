"""Small flows of Python nodes for the tests of runs, written to a folder as a user would."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from promptflow_lite.connections.base import Connection
from promptflow_lite.errors import ConnectionNotFound

SHOUT = """\
inputs:
  text: {type: string}
  times: {type: int, default: 2}
outputs:
  shout: {type: string, reference: "${shout.output}"}
nodes:
- name: shout
  type: python
  source: {type: code, path: shout.py}
  inputs: {text: "${inputs.text}", times: "${inputs.times}"}
- name: count
  type: python
  aggregation: true
  source: {type: code, path: count.py}
  inputs: {texts: "${shout.output}"}
"""

SHOUT_PY = """\
import asyncio
import pathlib
from promptflow_lite import tool


@tool
async def shout(text: str, times: int) -> str:
    with pathlib.Path("{calls}").open("a") as calls:
        calls.write(text + "\\n")
    if text.startswith("bad"):
        raise ValueError(f"cannot shout {text}")
    await asyncio.sleep({seconds})
    return text.upper() * times
"""

COUNT_PY = """\
from promptflow_lite import log_metric, tool


@tool
def count(texts: list) -> list:
    log_metric("count", len(texts))
    log_metric("letters", sum(len(text) for text in texts))
    return texts
"""

SCORE = """\
type: evaluation
inputs:
  answer: {type: string}
  truth: {type: string}
outputs:
  right: {type: int, reference: "${score.output}"}
nodes:
- name: score
  type: python
  source: {type: code, path: score.py}
  inputs: {answer: "${inputs.answer}", truth: "${inputs.truth}"}
"""

SCORE_PY = """\
from promptflow_lite import tool


@tool
def score(answer: str, truth: str) -> int:
    return int(answer == truth.upper() * 2)
"""


def shout_flow(folder: Path, *, seconds: float = 0.0) -> Path:
    """A flow that shouts; each call adds its text to the file `calls` beside the flow."""
    folder.mkdir(parents=True)
    (folder / "flow.dag.yaml").write_text(SHOUT)
    calls = folder.parent / "calls"
    source = SHOUT_PY.replace("{calls}", str(calls)).replace("{seconds}", str(seconds))
    (folder / "shout.py").write_text(source)
    (folder / "count.py").write_text(COUNT_PY)
    return folder


def score_flow(folder: Path) -> Path:
    """An evaluation flow without aggregation nodes."""
    folder.mkdir(parents=True)
    (folder / "flow.dag.yaml").write_text(SCORE)
    (folder / "score.py").write_text(SCORE_PY)
    return folder


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """A JSON Lines file."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


class Connections:
    """Connections by name, for runs that need few."""

    def __init__(self, *connections: Connection) -> None:
        self._by_name = {connection.name: connection for connection in connections}

    def get(self, name: str) -> Connection:
        """The connection of that name."""
        if name not in self._by_name:
            raise ConnectionNotFound(name, self._by_name)
        return self._by_name[name]

    def names(self) -> list[str]:
        """The names, sorted."""
        return sorted(self._by_name)
