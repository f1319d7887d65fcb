"""Flow folders for the tests of tools."""

from __future__ import annotations

import textwrap
from pathlib import Path

from promptflow_lite.errors import FlowError
from promptflow_lite.flow.load import load_flow
from promptflow_lite.flow.spec import Flow


def folder(path: Path, dag: str, files: dict[str, str] | None = None) -> Flow:
    """The flow of `dag`, with its files beside it."""
    path.mkdir(parents=True, exist_ok=True)
    for name, text in {"flow.dag.yaml": dag, **(files or {})}.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text), encoding="utf-8")
    return load_flow(path)


def one_node(path: Path, script: str, inputs: str = "{}") -> Flow:
    """A flow of one python node `n` that calls the tool of `script`."""
    dag = f"""\
inputs:
  x: {{type: string, default: x}}
outputs:
  y: {{type: string, reference: "${{n.output}}"}}
nodes:
- name: n
  type: python
  source: {{type: code, path: n.py}}
  inputs: {inputs}
"""
    return folder(path, dag, {"n.py": script})


def codes(error: FlowError) -> list[str]:
    """The codes of its complaints."""
    return [d.code for d in error.diagnostics]
