"""One pass over a flow's files says everything that is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptflow_lite.errors import FlowError
from promptflow_lite.flow.load import load_flow

FLOW = """\
inputs:
  text: {type: strin}
outputs:
  out: {type: string, reference: "${summarise.output}"}
nodes:
- name: summarize
  type: python
  source: {type: code, path: summarize.py}
  input: {text: "${inputs.text}"}
"""


def test_wrong_keys_do_not_hide_wrong_references_and_missing_files(tmp_path: Path) -> None:
    (tmp_path / "flow.dag.yaml").write_text(FLOW, encoding="utf-8")
    with pytest.raises(FlowError) as caught:
        load_flow(tmp_path)
    found = [(c.code, c.mark.line if c.mark else 0) for c in caught.value.diagnostics]
    assert found == [("wrong-type", 2), ("unknown-node", 4), ("source-not-found", 8), ("unknown-key", 9)]


def test_a_node_that_cannot_be_read_does_not_make_references_to_it_wrong(tmp_path: Path) -> None:
    text = FLOW.replace("type: python", "type: pyton").replace("summarise", "summarize")
    (tmp_path / "flow.dag.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(FlowError) as caught:
        load_flow(tmp_path)
    assert [c.code for c in caught.value.diagnostics] == ["wrong-type", "wrong-type", "unknown-key"]


def test_complaints_stand_together_by_file(tmp_path: Path) -> None:
    (tmp_path / "flow.dag.yaml").write_text(FLOW, encoding="utf-8")
    (tmp_path / "summarize.py").write_text("x = 1\ndef broken(:\n    pass\n", encoding="utf-8")
    with pytest.raises(FlowError) as caught:
        load_flow(tmp_path)
    files = [Path(c.mark.file).name for c in caught.value.diagnostics if c.mark]
    assert files == ["flow.dag.yaml"] * 3 + ["summarize.py"]
