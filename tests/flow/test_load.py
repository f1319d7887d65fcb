from __future__ import annotations

from pathlib import Path

import pytest

from promptflow_lite.errors import FlowError, UserError
from promptflow_lite.flow.load import load_flow
from promptflow_lite.flow.refs import Ref
from promptflow_lite.flow.spec import Activate, FlowInput, FlowOutput, Node, Source
from tests.flow.cases import NODE, TOOL

FULL = """\
name: qna
display_name: Questions
description: answers
type: chat
inputs:
  q: {type: string, is_chat_input: true, default: hi}
  n: {type: int}
outputs:
  a: {type: string, reference: "${ask.output.text[0]}", is_chat_output: true}
  b: {type: string, reference: plain}
nodes:
- name: ask
  type: llm
  source: {type: code, path: ask.jinja2}
  connection: mine
  api: chat
  activate: {when: "${inputs.n}", is: 1}
  inputs:
    q: ${inputs.q}
    text: "pre ${inputs.q}"
    temperature: 0.5
  timeout: 30
- name: score
  type: python
  reduce: true
  source: {type: package, tool: pkg.mod.fn}
environment_variables:
  A: 1
  B: {x: [é]}
environment: {python_requirements_txt: requirements.txt}
additional_includes: [../shared]
tags: {team: x}
"""


def write(folder: Path, text: str, name: str = "flow.dag.yaml") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_everything_that_a_file_says_is_in_the_flow(tmp_path: Path) -> None:
    flow = load_flow(write(tmp_path, FULL))
    assert (flow.name, flow.display_name, flow.type, flow.folder) == ("qna", "Questions", "chat", tmp_path)
    assert flow.inputs == {"q": FlowInput("string", "hi", is_chat_input=True), "n": FlowInput("int")}
    assert flow.outputs == {
        "a": FlowOutput("string", Ref("node", "ask", ("text", 0)), is_chat_output=True),
        "b": FlowOutput("string", "plain"),
    }
    assert flow.nodes == (
        Node(
            name="ask",
            type="llm",
            source=Source("code", "ask.jinja2"),
            connection="mine",
            api="chat",
            activate=Activate(Ref("inputs", "n"), 1),
            inputs={"q": Ref("inputs", "q"), "text": "pre ${inputs.q}", "temperature": 0.5},
            timeout=30,
        ),
        Node(name="score", type="python", aggregation=True, source=Source("package", tool="pkg.mod.fn")),
    )
    assert flow.environment_variables == {"A": "1", "B": '{"x": ["é"]}'}
    assert (flow.additional_includes, flow.tags) == (("../shared",), {"team": "x"})
    assert (flow.chat_input, flow.chat_output, flow.chat_history) == ("q", "a", None)


def test_a_flow_is_named_after_its_folder_or_its_file(tmp_path: Path) -> None:
    folder = write(tmp_path / "greet", f"nodes:\n{NODE}")
    assert load_flow(folder).name == "greet"
    write(folder, f"nodes:\n{NODE}", "other.yaml")
    assert load_flow(folder / "other.yaml").name == "other"


@pytest.mark.parametrize("name", ["flow.dag.yaml", "flow.dag.yml"])
def test_both_endings_are_found(name: str, tmp_path: Path) -> None:
    assert load_flow(str(write(tmp_path, f"nodes:\n{NODE}", name))).nodes[0].name == "n"


def test_keys_that_hold_nothing_are_as_good_as_absent(tmp_path: Path) -> None:
    text = (
        "description:\ninputs:\noutputs:\nnodes:\n- name: n\n  type: python\n"
        "  source: {path: a.py}\n  inputs:\n"
    )
    flow = load_flow(write(tmp_path, text))
    assert (flow.description, flow.inputs, flow.nodes[0].inputs) == (None, {}, {})


def test_a_node_may_have_its_whole_body_in_its_variants(tmp_path: Path) -> None:
    text = (
        "nodes:\n- {name: n, use_variants: true}\nnode_variants:\n  n:\n"
        "    default_variant_id: v0\n    variants:\n"
        "      v0: {node: {type: prompt, source: {type: code, path: a.jinja2}}}\n"
    )
    assert load_flow(write(tmp_path, text)).nodes[0].type == "prompt"


def test_what_stands_in_a_variants_body_is_complained_about_too(tmp_path: Path) -> None:
    text = (
        "nodes:\n- {name: n, use_variants: true}\nnode_variants:\n  n:\n"
        "    default_variant_id: 0\n    variants:\n"
        "      0:\n        node:\n          type: prompt\n          sauce: {type: code, path: a.jinja2}\n"
    )
    with pytest.raises(FlowError) as raised:
        load_flow(write(tmp_path, text))
    complaint = raised.value.diagnostics[-1]
    assert complaint.mark is not None
    assert (complaint.code, complaint.mark.line, complaint.hint) == (
        "unknown-key",
        10,
        "did you mean 'source'?",
    )


def test_two_flow_files_in_a_folder_are_ambiguous(tmp_path: Path) -> None:
    write(tmp_path, f"nodes:\n{NODE}")
    write(tmp_path, "entry: a:b\n", "flow.flex.yaml")
    with pytest.raises(UserError, match=r"flow\.dag\.yaml, flow\.flex\.yaml") as raised:
        load_flow(tmp_path)
    assert raised.value.code == "ambiguous-flow"
    assert load_flow(tmp_path / "flow.dag.yaml").nodes


def test_nothing_at_the_path_suggests_what_is_near(tmp_path: Path) -> None:
    write(tmp_path / "support", f"nodes:\n{NODE}")
    with pytest.raises(UserError) as raised:
        load_flow(tmp_path / "suport")
    assert (raised.value.code, raised.value.hint) == ("flow-not-found", "did you mean 'support'?")
    write(tmp_path / "empty", TOOL, "run.py")
    with pytest.raises(UserError) as raised:
        load_flow(tmp_path / "empty")
    assert raised.value.code == "flow-not-found"


@pytest.mark.parametrize(
    "text", ["- 1\n", "3\n", "nodes: 3\n", "inputs: [a]\nnodes: []\n", "nodes: [1, a, [b]]\n"]
)
def test_a_file_of_another_shape_is_a_complaint_and_no_crash(text: str, tmp_path: Path) -> None:
    with pytest.raises(FlowError) as raised:
        load_flow(write(tmp_path, text))
    assert {d.code for d in raised.value.diagnostics} <= {"wrong-type", "missing-key"}


def test_a_complaint_shows_its_line_with_a_caret_under_the_column(tmp_path: Path) -> None:
    write(tmp_path, "inputs: {質問: {type: strng}}\nnodes: []\n")
    with pytest.raises(FlowError) as raised:
        load_flow(tmp_path)
    shown = str(raised.value).splitlines()
    assert shown[1] == "    1 | inputs: {質問: {type: strng}}"
    assert shown[2] == "      |                 ^ did you mean 'string'?"
