"""Flows written by tests."""

from __future__ import annotations

import textwrap
from pathlib import Path

ECHO = """\
inputs:
  text: {type: string}
  times: {type: int, default: 1}
outputs:
  text: {type: string, reference: "${echo.output}"}
nodes:
- name: echo
  type: python
  source: {type: code, path: echo.py}
  inputs:
    text: ${inputs.text}
    times: ${inputs.times}
"""

ECHO_TOOL = """\
from promptflow_lite import tool


@tool
def echo(text: str, times: int) -> str:
    print("echoing")
    if text == "bad":
        raise ValueError("cannot echo that")
    return text * times
"""

HELD = """\
import asyncio, pathlib
from promptflow_lite import tool


@tool
async def echo(text: str, times: int) -> str:
    while not pathlib.Path(text).exists():
        pathlib.Path(f"{text}.waits").touch()
        await asyncio.sleep(0.01)
    return text
"""
"""A tool of that flow: it answers once a file of that name is there, and says by another that it waits."""


def write(folder: Path, **files: str) -> Path:
    """Write `name__py="..."` files into `folder`; `dag` is `flow.dag.yaml`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        file = "flow.dag.yaml" if name == "dag" else name.replace("__", ".")
        (folder / file).write_text(textwrap.dedent(text), encoding="utf-8")
    return folder


def echo(folder: Path) -> Path:
    """A flow of one python node that repeats its text, and fails on `bad`."""
    return write(folder, dag=ECHO, echo__py=ECHO_TOOL)
