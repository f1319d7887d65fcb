"""A .prompty file is read as a Flow of one node, with every complaint at its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptflow_lite.errors import Diagnostic, FlowError
from promptflow_lite.flow.check import check
from promptflow_lite.flow.init import give
from promptflow_lite.flow.load import load_flow
from promptflow_lite.flow.prompty import Prompt
from promptflow_lite.flow.spec import Flow

FRONT = """\
name: Ask
model:
  api: chat
  configuration:
    type: openai
    model: gpt-4o
  parameters:
    temperature: 0.2
inputs:
  question: {type: string}
  tone: {type: string, default: kind}
"""
TEMPLATE = "system:\nBe {{ tone }}.\nuser:\n{{ question }}\n"


def prompty(folder: Path, front: str = FRONT, template: str = TEMPLATE) -> Path:
    path = folder / "ask.prompty"
    path.write_text(f"---\n{front}---\n{template}", encoding="utf-8")
    return path


def prompt_of(flow: Flow) -> Prompt:
    prompt: Prompt = flow.nodes[0].settings
    return prompt


def complaints(path: Path) -> list[Diagnostic]:
    try:
        return check(load_flow(path))
    except FlowError as error:
        return list(error.diagnostics)


def test_a_prompty_is_a_flow_of_one_node(tmp_path: Path) -> None:
    flow = load_flow(prompty(tmp_path))
    assert (flow.name, flow.display_name) == ("ask", "Ask")
    assert {name: (spec.type, spec.default) for name, spec in flow.inputs.items()} == {
        "question": ("string", None),
        "tone": ("string", "kind"),
    }
    assert list(flow.outputs) == ["output"]
    assert [node.type for node in flow.nodes] == ["prompty"]
    prompt = prompt_of(flow)
    assert (prompt.model, prompt.parameters, prompt.response) == ("gpt-4o", {"temperature": 0.2}, "first")
    assert complaints(tmp_path) == []


def test_inputs_that_are_not_declared_are_those_of_the_sample(tmp_path: Path) -> None:
    (tmp_path / "sample.json").write_text('{"question": "why?", "times": 2, "docs": []}', encoding="utf-8")
    for written in ("${file:sample.json}", "sample.json"):
        flow = load_flow(prompty(tmp_path, f"model: {{api: chat}}\nsample: {written}\n"))
        assert {name: spec.type for name, spec in flow.inputs.items()} == {
            "question": "string",
            "times": "int",
            "docs": "list",
        }
        assert flow.sample["question"] == "why?"


def test_a_sample_whose_file_is_missing_stops_nothing(tmp_path: Path) -> None:
    (found,) = complaints(prompty(tmp_path, f"{FRONT}sample: gone.json\n"))
    assert (found.code, found.severity) == ("source-not-found", "warning")
    assert found.mark is not None
    assert found.mark.line == 13


def test_parts_of_the_front_matter_may_lie_in_files(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("type: azure_openai\nazure_deployment: d\n", encoding="utf-8")
    (tmp_path / "tools.json").write_text('[{"type": "function"}]', encoding="utf-8")
    front = "model:\n  configuration: ${file:c.yaml}\n  parameters:\n    tools: ${file:tools.json}\n"
    prompt = prompt_of(load_flow(prompty(tmp_path, front)))
    assert prompt.model == "d"
    assert prompt.parameters == {"tools": [{"type": "function"}]}


def test_outputs_of_json_are_outputs_of_the_flow(tmp_path: Path) -> None:
    front = "model: {parameters: {response_format: {type: json_object}}}\noutputs: {score: {type: int}}\n"
    assert list(load_flow(prompty(tmp_path, front)).outputs) == ["score"]


def test_init_changes_the_front_matter_key_by_key(tmp_path: Path) -> None:
    flow = give(load_flow(prompty(tmp_path)), {"model": {"parameters": {"max_tokens": 5}}})
    prompt = prompt_of(flow)
    assert prompt.parameters == {"temperature": 0.2, "max_tokens": 5}
    assert prompt.model == "gpt-4o"


@pytest.mark.parametrize(
    ("front", "template", "code", "line", "hint"),
    [
        ("modell: {}\n", TEMPLATE, "unknown-key", 2, "did you mean 'model'?"),
        ("model: {api: chatt}\n", TEMPLATE, "wrong-type", 2, "did you mean 'chat'?"),
        ("model:\n  responce: all\n", TEMPLATE, "unknown-key", 3, "did you mean 'response'?"),
        ("model:\n  response: some\n", TEMPLATE, "wrong-type", 3, None),
        ("model:\n  configuration:\n    typ: openai\n", TEMPLATE, "unknown-key", 4, "did you mean 'type'?"),
        (
            "model:\n  configuration:\n    type: openai\n    connection: c\n    api_key: k\n",
            TEMPLATE,
            "connection-and-keys",
            6,
            None,
        ),
        (
            "model:\n  parameters:\n    max_token: 3\n",
            TEMPLATE,
            "unknown-parameter",
            4,
            "did you mean 'max_tokens'?",
        ),
        ("model:\n  parameters: ${file:no.json}\n", TEMPLATE, "source-not-found", 3, None),
        ("inputs:\n  question: {type: strng}\n", TEMPLATE, "wrong-type", 3, "did you mean 'string'?"),
        ("inputs:\n  question: hi\n", TEMPLATE, "wrong-type", 3, None),
        ("name: [\n", TEMPLATE, "yaml-syntax", 3, None),
        ("name: a\nname: b\n", TEMPLATE, "duplicate-key", 3, None),
        ("name: a\n", "user:\nhi\n{% if %}\n", "template-syntax", 6, None),
        ("name: a\n", "hello\n", "chat-without-role", 4, None),
        ("inputs: {questin: {type: string}}\n", "user:\n{{ question }}\n", "template-variable-unset", 4,
         "did you mean 'questin'?"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_line(
    front: str, template: str, code: str, line: int, hint: str | None, tmp_path: Path
) -> None:
    found = {complaint.code: complaint for complaint in complaints(prompty(tmp_path, front, template))}
    assert code in found
    mark = found[code].mark
    assert mark is not None
    assert mark.line == line
    assert hint is None or hint in (found[code].hint or "")


@pytest.mark.parametrize("text", ["", "user:\nhi\n", "---\nname: a\n", "x\n---\nname: a\n---\nuser:\nhi\n"])
def test_a_file_without_a_front_matter_is_no_prompty(text: str, tmp_path: Path) -> None:
    (tmp_path / "ask.prompty").write_text(text, encoding="utf-8")
    assert [c.code for c in complaints(tmp_path)] == ["bad-prompty"]


def test_lines_of_dashes_may_stand_in_the_template(tmp_path: Path) -> None:
    flow = load_flow(prompty(tmp_path, FRONT, "user:\nabove\n---\nbelow\n"))
    assert prompt_of(flow).template == "user:\nabove\n---\nbelow\n"


def test_a_connection_that_does_not_exist_is_told(tmp_path: Path) -> None:
    front = "model:\n  configuration:\n    connection: azur\n"
    flow = load_flow(prompty(tmp_path, front, "user:\nhi\n"))
    (found,) = check(flow, ["azure"])
    assert (found.code, found.hint) == ("unknown-connection", "did you mean 'azure'?")
