from __future__ import annotations

import os
from pathlib import Path

import pytest

from promptflow_lite.connections.base import Connection, Field
from promptflow_lite.engine.line import run_line
from promptflow_lite.errors import FlowError
from promptflow_lite.tools.bind import bind, close
from tests.strategies import Connections, NoConnections
from tests.tools.flows import codes, folder, one_node


class SerpConnection(Connection):
    TYPE = "serp"
    FIELDS = (Field("api_key", secret=True), Field("region"))


class QdrantConnection(Connection):
    TYPE = "qdrant"


KNOWN = Connections(
    {"mine": SerpConnection("mine", api_key="k", region="eu"), "vectors": QdrantConnection("vectors")}
)

ASK = (
    "from __future__ import annotations\nfrom promptflow.core import tool\n\n"
    "@tool\ndef ask(conn: SerpConnection, n: int = 1):\n    return f'{conn.api_key} {n}'\n"
)


async def test_a_connection_is_given_by_its_name(tmp_path: Path) -> None:
    bound = bind(one_node(tmp_path, ASK, "{conn: mine}"), KNOWN)
    assert (await run_line(bound, {})).outputs == {"y": "k 1"}


def test_a_connection_of_another_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FlowError) as raised:
        bind(one_node(tmp_path, ASK, "{conn: vectors}"), KNOWN)
    assert codes(raised.value) == ["wrong-type"]
    assert "SerpConnection" in str(raised.value)


def test_all_complaints_come_at_once_with_their_places(tmp_path: Path) -> None:
    flow = folder(
        tmp_path,
        """\
        inputs:
          x: {type: string}
        nodes:
        - name: a
          type: python
          source: {type: code, path: ask.py}
          inputs: {conn: min, n: three}
        - name: b
          type: python
          source: {type: code, path: broken.py}
        - name: c
          type: python
          source: {type: code, path: ask.py}
          inputs:
            conn: mine
            m: 1
        """,
        {"ask.py": ASK, "broken.py": "x = (\n"},
    )
    with pytest.raises(FlowError) as raised:
        bind(flow, KNOWN)
    found = {(d.code, d.mark.line if d.mark else 0) for d in raised.value.diagnostics}
    assert {
        ("unknown-connection", 7),
        ("script-syntax", 1),
        ("unknown-parameter", 16),
    } == found


def test_what_only_an_import_tells_comes_at_once_too(tmp_path: Path) -> None:
    flow = folder(
        tmp_path,
        """\
        nodes:
        - name: a
          type: python
          source: {type: code, path: ask.py}
          inputs: {conn: mine, n: three}
        - name: b
          type: python
          source: {type: code, path: broken.py}
          inputs: {conn: mine}
        - name: c
          type: python
          source: {type: code, path: ask.py}
        """,
        {"ask.py": ASK, "broken.py": ASK + "import nowhere_to_be_found\n"},
    )
    with pytest.raises(FlowError) as raised:
        bind(flow, KNOWN)
    found = {(d.code, d.mark.line if d.mark else 0) for d in raised.value.diagnostics}
    assert found == {("wrong-type", 5), ("import-failed", 7), ("missing-argument", 10)}


def test_a_wrong_parameter_suggests_the_near_one(tmp_path: Path) -> None:
    script = "from promptflow.core import tool\n\n@tool\ndef n(question: str = ''):\n    return question\n"
    with pytest.raises(FlowError) as raised:
        bind(one_node(tmp_path, script, "{qestion: hi}"), NoConnections())
    assert [d.hint for d in raised.value.diagnostics] == ["did you mean 'question'?"]


def test_an_enum_lists_its_choices(tmp_path: Path) -> None:
    script = (
        "from enum import Enum\nfrom promptflow.core import tool\n\nclass K(str, Enum):\n    long = 'long'\n"
        "    short = 'short'\n\n@tool\ndef n(k: K):\n    return k\n"
    )
    with pytest.raises(FlowError) as raised:
        bind(one_node(tmp_path, script, "{k: shirt}"), NoConnections())
    [complaint] = raised.value.diagnostics
    assert (complaint.code, complaint.hint) == ("wrong-type", "did you mean 'short'?")


async def test_the_connection_of_a_python_node_is_an_input_that_need_not_be_there(tmp_path: Path) -> None:
    script = ASK.replace("conn", "connection")
    bound = bind(one_node(tmp_path, script, "{n: 2}"), KNOWN, overrides={"n": {"connection": "mine"}})
    assert (await run_line(bound, {})).outputs == {"y": "k 2"}


async def test_overrides_replace_inputs_and_connections(tmp_path: Path) -> None:
    bound = bind(
        one_node(tmp_path, ASK, "{conn: elsewhere, n: 2}"), KNOWN, overrides={"n": {"conn": "mine", "n": "7"}}
    )
    assert (await run_line(bound, {})).outputs == {"y": "k 7"}
    read = bind(one_node(tmp_path, ASK, "{conn: mine}"), KNOWN, overrides={"n": {"n": "${inputs.x}"}})
    assert (await run_line(read, {"x": "seven"})).outputs == {"y": "k seven"}
    with pytest.raises(FlowError) as raised:
        bind(one_node(tmp_path, ASK), KNOWN, overrides={"m": {}})
    assert codes(raised.value) == ["unknown-node"]


ENVIRONMENT = """\
environment_variables:
  BIND_PLAIN: {plain}
  BIND_REGION: ${{mine.region}}
nodes:
- name: n
  type: python
  source: {{type: code, path: n.py}}
"""
TOOL = "from promptflow.core import tool\n\n@tool\ndef n():\n    return 1\n"


async def test_the_environment_holds_while_the_flow_is_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BIND_PLAIN", "before")
    bound = bind(folder(tmp_path, ENVIRONMENT.format(plain="now"), {"n.py": TOOL}), KNOWN)
    assert (os.environ["BIND_PLAIN"], os.environ["BIND_REGION"]) == ("now", "eu")
    await close(bound)
    assert os.environ["BIND_PLAIN"] == "before"
    assert "BIND_REGION" not in os.environ


def test_the_environment_is_put_back_when_binding_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BIND_PLAIN", "before")
    flow = folder(tmp_path, ENVIRONMENT.format(plain="now"), {"n.py": "import nowhere_to_be_found\n"})
    with pytest.raises(FlowError):
        bind(flow, KNOWN)
    assert os.environ["BIND_PLAIN"] == "before"


@pytest.mark.parametrize("name", ["PATH", "LD_PRELOAD", "PYTHONPATH", "HTTPS_PROXY", "PF_HOME"])
def test_a_flow_cannot_steer_the_process(tmp_path: Path, name: str) -> None:
    flow = folder(
        tmp_path, "nodes:\n- name: n\n  type: python\n  source: {type: code, path: n.py}\n", {"n.py": TOOL}
    )
    before = os.environ.get(name)
    with pytest.raises(FlowError) as raised:
        bind(flow.derive(environment_variables={name: "x"}), NoConnections())
    assert codes(raised.value) == ["forbidden-variable"]
    assert os.environ.get(name) == before


def test_a_setting_of_prompt_flow_that_means_nothing_here_is_passed_over(tmp_path: Path) -> None:
    flow = folder(
        tmp_path, "nodes:\n- name: n\n  type: python\n  source: {type: code, path: n.py}\n", {"n.py": TOOL}
    )
    before = os.environ.get("PF_WORKER_COUNT")
    bind(flow.derive(environment_variables={"PF_WORKER_COUNT": "2"}), NoConnections())
    assert os.environ.get("PF_WORKER_COUNT") == before


def test_a_field_that_a_connection_lacks_is_named(tmp_path: Path) -> None:
    flow = folder(
        tmp_path, "nodes:\n- name: n\n  type: python\n  source: {type: code, path: n.py}\n", {"n.py": TOOL}
    )
    for value, code in (("${mine.nothing}", "unknown-field"), ("${their.key}", "unknown-connection")):
        with pytest.raises(FlowError) as raised:
            bind(flow.derive(environment_variables={"BIND_X": value}), KNOWN)
        assert codes(raised.value) == [code]


async def test_nodes_stand_in_topological_order(tmp_path: Path) -> None:
    flow = folder(
        tmp_path,
        """\
        nodes:
        - name: last
          type: python
          source: {type: code, path: n.py}
          inputs: {x: "${first.output}"}
        - name: first
          type: python
          source: {type: code, path: n.py}
        """,
        {"n.py": "from promptflow.core import tool\n\n@tool\ndef n(x=None):\n    return x\n"},
    )
    assert list(bind(flow, NoConnections()).nodes) == ["first", "last"]
