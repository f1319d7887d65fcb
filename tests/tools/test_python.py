from __future__ import annotations

import sys
from pathlib import Path

import pytest

from promptflow_lite.engine.line import run_line
from promptflow_lite.errors import FlowError
from promptflow_lite.tools.bind import bind, close
from tests.strategies import NoConnections
from tests.tools.flows import codes, one_node

TOOL = "from promptflow.core import tool\n\n@tool\ndef n():\n    return 1\n"


def test_a_script_without_a_tool_is_refused_with_its_place(tmp_path: Path) -> None:
    flow = one_node(tmp_path, "from json import dumps\n\ndef helper():\n    return 1\n")
    with pytest.raises(FlowError) as raised:
        bind(flow, NoConnections())
    [complaint] = raised.value.diagnostics
    assert complaint.code == "no-tool"
    assert complaint.mark is not None
    assert (complaint.mark.line, complaint.mark.key) == (8, "nodes[0].source.path")


def test_a_script_with_two_tools_names_them(tmp_path: Path) -> None:
    script = "from promptflow.core import tool\n\n@tool\ndef a():\n    pass\n\n@tool\ndef b():\n    pass\n"
    with pytest.raises(FlowError) as raised:
        bind(one_node(tmp_path, script), NoConnections())
    assert codes(raised.value) == ["many-tools"]
    assert "a, b" in str(raised.value)


def test_a_tool_that_is_imported_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "imported_tools.py").write_text(
        "from promptflow.core import tool\n\n@tool\ndef other():\n    return 1\n", encoding="utf-8"
    )
    script = (
        "from imported_tools import other\nfrom promptflow.core import tool\n\n"
        "@tool\ndef mine():\n    return other()\n"
    )
    bound = bind(one_node(tmp_path, script), NoConnections())
    assert bound.nodes["n"].tool.name == "mine"


def test_an_alias_of_the_tool_is_not_a_second_one(tmp_path: Path) -> None:
    script = "from promptflow.core import tool\n\n@tool\ndef mine():\n    return 1\n\nagain = mine\n"
    assert bind(one_node(tmp_path, script), NoConnections()).nodes["n"].tool.name == "mine"


def test_a_failing_import_points_into_the_users_code(tmp_path: Path) -> None:
    (tmp_path / "broken_helper.py").write_text("x = 1\ny = x / 0\n", encoding="utf-8")
    with pytest.raises(FlowError) as raised:
        bind(one_node(tmp_path, f"import broken_helper\n{TOOL}"), NoConnections())
    [complaint] = raised.value.diagnostics
    assert complaint.code == "import-failed"
    assert complaint.mark is not None
    assert (Path(complaint.mark.file).name, complaint.mark.line) == ("broken_helper.py", 2)
    assert "ZeroDivisionError: division by zero" in complaint.message


@pytest.mark.parametrize(
    ("script", "line"),
    [("x = 1\nimport not_there_at_all\n", 2), ("import sys\nsys.exit(3)\n", 2)],
    ids=["missing module", "exit"],
)
def test_whatever_an_import_raises_is_a_complaint(tmp_path: Path, script: str, line: int) -> None:
    with pytest.raises(FlowError) as raised:
        bind(one_node(tmp_path, script + TOOL), NoConnections())
    [complaint] = raised.value.diagnostics
    assert complaint.code == "import-failed"
    assert complaint.mark is not None
    assert (Path(complaint.mark.file).name, complaint.mark.line) == ("n.py", line)


def test_a_missing_script_suggests_the_near_one(tmp_path: Path) -> None:
    flow = one_node(tmp_path, "")
    (tmp_path / "n.py").rename(tmp_path / "nn.py")
    with pytest.raises(FlowError) as raised:
        bind(flow, NoConnections())
    assert "source-not-found" in codes(raised.value)


async def test_two_flows_may_have_modules_of_the_same_name(tmp_path: Path) -> None:
    script = (
        "from same_name import VALUE\nfrom promptflow.core import tool\n\n@tool\ndef n():\n    return VALUE\n"
    )
    answers = []
    for name in ("first", "second"):
        flow = one_node(tmp_path / name, script)
        (tmp_path / name / "same_name.py").write_text(f"VALUE = {name!r}\n", encoding="utf-8")
        bound = bind(flow, NoConnections())
        answers.append((await run_line(bound, {})).outputs["y"])
        await close(bound)
    assert answers == ["first", "second"]


async def test_binding_and_running_leave_the_process_as_it_was(tmp_path: Path) -> None:
    script = (
        "import os\nfrom promptflow.core import tool\n\nAT = os.getcwd()\n\n"
        "@tool\ndef n():\n    return [AT, os.getcwd()]\n"
    )
    here, path = Path.cwd(), list(sys.path)
    bound = bind(one_node(tmp_path, script), NoConnections())
    result = await run_line(bound, {})
    assert result.outputs == {"y": [str(tmp_path), str(tmp_path)]}
    assert (Path.cwd(), sys.path) == (here, path)
    assert "__pf_main__n" in sys.modules
    await close(bound)
    assert "__pf_main__n" not in sys.modules


def test_a_provider_takes_no_reference(tmp_path: Path) -> None:
    script = (
        "from promptflow.core import ToolProvider, tool\n\nclass P(ToolProvider):\n"
        "    def __init__(self, k: int):\n        self.k = k\n\n"
        "    @tool\n    def call(self):\n        return self.k\n"
    )
    with pytest.raises(FlowError) as raised:
        bind(one_node(tmp_path, script, '{k: "${inputs.x}"}'), NoConnections())
    assert codes(raised.value) == ["provider-needs-literal"]
    with pytest.raises(FlowError) as raised:
        bind(one_node(tmp_path, script), NoConnections())
    assert codes(raised.value) == ["missing-argument"]
    with pytest.raises(FlowError) as raised:
        bind(one_node(tmp_path, script, "{k: three}"), NoConnections())
    assert codes(raised.value) == ["wrong-type"]


async def test_a_streaming_option_says_whether_to_stream(tmp_path: Path) -> None:
    script = (
        "from promptflow.core import tool\n\n@tool(streaming_option_parameter='stream')\n"
        "def n(x: str, stream=None):\n    return str(stream())\n"
    )
    bound = bind(one_node(tmp_path, script, '{x: "${inputs.x}"}'), NoConnections())
    assert "stream" not in bound.nodes["n"].tool.params
    assert (await run_line(bound, {}, stream=True)).outputs == {"y": "True"}
    assert (await run_line(bound, {})).outputs == {"y": "False"}
