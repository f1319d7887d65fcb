from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from promptflow_lite.engine.line import run_line
from promptflow_lite.errors import FlowError
from promptflow_lite.flow.spec import Flow
from promptflow_lite.tools.bind import bind
from tests.strategies import NoConnections
from tests.tools.flows import codes, folder

MODULE = """\
from promptflow.core import ToolProvider, tool


@tool
def add(x: int, y: int = 1) -> int:
    return x + y


class Scale(ToolProvider):
    def __init__(self, factor: int):
        self.factor = factor

    @tool
    def scale(self, x: int) -> int:
        return x * self.factor


NUMBER = 3
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installed distribution with tools of Prompt flow's kind and of ours."""
    site = tmp_path / "site"
    info = site / "tools_for_tests-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tools-for-tests\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[package_tools]\ntests = tools_for_tests:list_tools\n"
        "[promptflow_lite.tools]\ntests.add = tools_for_tests.tools:add\n"
    )
    code = site / "tools_for_tests"
    code.mkdir()
    (code / "__init__.py").write_text(
        "def list_tools():\n"
        "    tools = {'module': 'tools_for_tests.tools', 'type': 'python'}\n"
        "    return {'their.add': {**tools, 'name': 'Add', 'function': 'add'},\n"
        "            'their.scale': {**tools, 'name': 'Scale', 'class_name': 'Scale', 'function': 'scale'}}\n"
    )
    (code / "tools.py").write_text(MODULE)
    monkeypatch.syspath_prepend(site)
    from promptflow_lite import registry

    registry._points.cache_clear()
    yield site
    registry._points.cache_clear()
    for name in [name for name in sys.modules if name.startswith("tools_for_tests")]:
        del sys.modules[name]


def flow_of(path: Path, tool: str, inputs: str = "{}", kind: str = "tool") -> Flow:
    return folder(
        path,
        f"""\
inputs:
  x: {{type: int, default: 2}}
outputs:
  y: {{type: int, reference: "${{n.output}}"}}
nodes:
- name: n
  type: {kind}
  source: {{type: package, tool: {tool}}}
  inputs: {inputs}
""",
    )


@pytest.mark.parametrize("kind", ["tool", "python"])
@pytest.mark.parametrize(
    ("tool", "inputs", "expected"),
    [
        ("tests.add", '{x: "${inputs.x}"}', 3),
        ("their.add", '{x: "${inputs.x}", y: "5"}', 7),
        ("their.scale", '{x: "${inputs.x}", factor: "4"}', 8),
        ("tools_for_tests.tools.add", '{x: "${inputs.x}"}', 3),
        ("tools_for_tests.tools.Scale.scale", '{x: "${inputs.x}", factor: 3}', 6),
    ],
)
async def test_a_tool_is_found_by_any_of_its_ids(
    tmp_path: Path, package: Path, kind: str, tool: str, inputs: str, expected: int
) -> None:
    result = await run_line(bind(flow_of(tmp_path / "flow", tool, inputs, kind), NoConnections()), {})
    assert result.outputs == {"y": expected}, result.error


@pytest.mark.parametrize(
    ("tool", "code"),
    [
        ("nothing.of.the.kind", "unknown-tool"),
        ("their.ad", "unknown-tool"),
        ("tools_for_tests.tools.ad", "unknown-tool"),
        ("tools_for_tests.tools.NUMBER", "unknown-tool"),
        ("promptflow.tools.serpapi.SerpAPI.searches", "unknown-tool"),
        ("promptflow.tools.serpapi11.SerpAPI.search", "unknown-tool"),
        ("promptflow.tools.open_model_llm.OpenModelLLM.call", "tool-not-supported"),
        ("promptflow_vectordb.tool.common_index_lookup.search", "tool-not-supported"),
    ],
)
def test_what_is_not_there_is_refused_by_name(tmp_path: Path, package: Path, tool: str, code: str) -> None:
    with pytest.raises(FlowError) as raised:
        bind(flow_of(tmp_path / "flow", tool), NoConnections())
    assert codes(raised.value) == [code]
    assert repr(tool) in str(raised.value)


def test_the_near_miss_of_an_id_is_suggested(tmp_path: Path, package: Path) -> None:
    with pytest.raises(FlowError) as raised:
        bind(flow_of(tmp_path / "flow", "their.ad"), NoConnections())
    assert raised.value.diagnostics[0].hint == "did you mean 'their.add'?"


def test_a_package_that_cannot_be_imported_says_where(tmp_path: Path, package: Path) -> None:
    (package / "tools_for_tests" / "tools.py").write_text("x = 1\nx / 0\n")
    with pytest.raises(FlowError) as raised:
        bind(flow_of(tmp_path / "flow", "tools_for_tests.tools.add"), NoConnections())
    [complaint] = raised.value.diagnostics
    assert complaint.code == "import-failed"
    assert complaint.mark is not None
    assert (Path(complaint.mark.file).name, complaint.mark.line) == ("tools.py", 2)


def test_a_custom_llm_tool_needs_a_prompt_parameter(tmp_path: Path, package: Path) -> None:
    flow = folder(
        tmp_path / "flow",
        """\
        inputs: {}
        nodes:
        - name: n
          type: custom_llm
          source: {type: package_with_prompt, path: p.jinja2, tool: tests.add}
          inputs: {x: 1}
        """,
        {"p.jinja2": "Hello"},
    )
    with pytest.raises(FlowError) as raised:
        bind(flow, NoConnections())
    assert codes(raised.value) == ["no-prompt-parameter"]
