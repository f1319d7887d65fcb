from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from promptflow_lite.engine.line import run_line
from promptflow_lite.errors import FlowError
from promptflow_lite.tools.bind import bind, close
from tests.strategies import NoConnections
from tests.tools.flows import codes, folder

DAG = """\
additional_includes: [../shared/words.txt, ../shared/lib]
outputs:
  y: {type: string, reference: "${n.output}"}
nodes:
- name: n
  type: python
  source: {type: code, path: n.py}
"""
TOOL = """\
from pathlib import Path

from promptflow.core import tool

from lib.helper import VALUE


@tool
def n():
    return [VALUE, Path("words.txt").read_text(), Path("lib/own.txt").read_text(), str(Path.cwd())]
"""


def test_flow_and_includes_are_one_folder_while_bound(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    (shared / "lib").mkdir(parents=True)
    (shared / "lib" / "helper.py").write_text("VALUE = 7\n")
    (shared / "words.txt").write_text("theirs")
    files = {"n.py": TOOL, "words.txt": "mine", "lib/own.txt": "kept"}
    bound = bind(folder(tmp_path / "flow", DAG, files), NoConnections())
    [value, words, own, where] = asyncio.run(run_line(bound, {})).outputs["y"]
    assert (value, words, own) == (7, "theirs", "kept")
    assert (tmp_path / "flow" / "words.txt").read_text() == "mine"
    assert Path(where).is_dir()
    asyncio.run(close(bound))
    assert not Path(where).exists()


def test_every_include_that_is_not_there_is_named_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "shared" / "libs").mkdir(parents=True)
    with pytest.raises(FlowError) as raised:
        bind(folder(tmp_path / "flow", DAG, {"n.py": TOOL}), NoConnections())
    assert codes(raised.value) == ["include-not-found", "include-not-found"]
    second = raised.value.diagnostics[1]
    assert second.hint == "did you mean 'libs'?"
    assert second.mark is not None
    assert second.mark.line == 1
