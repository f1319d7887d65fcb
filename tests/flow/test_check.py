from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from promptflow_lite.errors import Diagnostic, FlowError
from promptflow_lite.flow.check import check
from promptflow_lite.flow.load import load_flow
from tests.flow.cases import CHECKING, NODE, READING, TOOL, Case, dag


def complaints(case: Case, folder: Path) -> list[Diagnostic]:
    path = case.write(folder)
    try:
        return check(load_flow(path), case.connections)
    except FlowError as error:
        return list(error.diagnostics)


def marked(folder: Path) -> list[tuple[str, str, str, int]]:
    """The complaints that comments in the files ask for: file, code, severity, line."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            for line, text in enumerate(path.read_bytes().decode("utf-8", "replace").split("\n"), 1):
                found += [
                    (path.name, code, severity or "error", line)
                    for code, severity in re.findall(r"# ([a-z]+(?:-[a-z]+)*)(?: (warning))?", text)
                ]
    return sorted(found)


def told(found: list[Diagnostic]) -> list[tuple[str, str, str, int]]:
    return sorted((Path(d.mark.file).name, d.code, d.severity, d.mark.line) for d in found if d.mark)


@pytest.mark.parametrize("code", READING)
def test_load_complains_at_the_place(code: str, tmp_path: Path) -> None:
    with pytest.raises(FlowError) as raised:
        load_flow(READING[code].write(tmp_path))
    assert set(marked(tmp_path)) <= set(told(list(raised.value.diagnostics)))


@pytest.mark.parametrize("code", [code for code in CHECKING if code != "unreadable-file"])
def test_check_complains_at_the_place_and_of_nothing_else(code: str, tmp_path: Path) -> None:
    assert told(complaints(CHECKING[code], tmp_path)) == marked(tmp_path)


def test_a_script_that_is_no_utf_8_is_told(tmp_path: Path) -> None:
    path = Case(dag(f"nodes:\n{NODE}")).write(tmp_path)
    (tmp_path / "run.py").write_bytes(b"# caf\xe9\n")
    assert [d.code for d in check(load_flow(path))] == ["unreadable-file"]


def test_a_sound_flow_earns_no_complaint(tmp_path: Path) -> None:
    case = Case(
        """\
        $schema: https://example.org/flow.json
        id: one
        inputs:
          chat_history: {type: list, is_chat_history: true, default: []}
          q: {type: string, is_chat_input: true}
        outputs:
          y: {type: string, reference: "${ask me.output}", is_chat_output: true}
        nodes:
        - name: ask me
          type: llm
          source: {type: code, path: ask.jinja2}
          api: chat
          provider: AzureOpenAI
          connection: local
          comment: asks
          inputs: {q: "${n.output}", temperature: 0, max_tokens: "20", deployment_name: gpt}
        - name: n
          type: python
          source: {type: code, path: run.py}
          inputs: {x: "${inputs.q}"}
        - name: sum
          type: python
          aggregation: true
          source: {type: code, path: run.py}
          inputs: {x: "${n.output}"}
        """
    )
    assert complaints(case, tmp_path) == []


def test_all_complaints_of_a_file_come_at_once_in_the_order_of_its_lines(tmp_path: Path) -> None:
    case = Case(
        """\
        inputs:
          a: {typ: string}
          b: {type: strng}
        nodes:
        - name: n
          type: pyhton
          source: {type: code, path: run.py}
        - name: m
          type: python
          source: {type: code, path: run.py}
          inputs: {x: "${n.outputs}"}
          activate: {when: 1}
        environment_variables: {path: x}
        """
    )
    found = [(d.code, d.mark.line, d.mark.key, d.hint) for d in complaints(case, tmp_path) if d.mark]
    assert found == [
        ("missing-key", 2, "inputs.a", None),
        ("unknown-key", 2, "inputs.a.typ", "did you mean 'type'?"),
        ("wrong-type", 3, "inputs.b.type", "did you mean 'string'?"),
        ("wrong-type", 6, "nodes[0].type", "did you mean 'python'?"),
        ("bad-reference", 11, "nodes[1].inputs.x", None),
        ("missing-key", 12, "nodes[1].activate", None),
        ("forbidden-variable", 13, "environment_variables.path", None),
    ]


@pytest.mark.parametrize(
    ("reference", "hint"),
    [
        ("${nn.output}", "did you mean 'n'?"),
        ("${q.output}", "an input of the flow is '${inputs.q}'"),
        ("${inputs.qq}", "did you mean 'q'?"),
        ("${inputs.q.a}", "'q' is an input; what is inside it cannot be referenced, only the whole"),
    ],
)
def test_a_reference_that_leads_nowhere_suggests_the_near_one(
    reference: str, hint: str, tmp_path: Path
) -> None:
    text = (
        f"inputs: {{q: {{type: string}}}}\nnodes:\n{NODE}outputs:\n"
        f"  y: {{type: int, reference: '{reference}'}}\n"
    )
    errors = [d for d in complaints(Case(text), tmp_path) if d.severity == "error"]
    assert [d.hint for d in errors] == [hint]


def test_every_variant_is_checked_and_marks_point_into_its_body(tmp_path: Path) -> None:
    case = Case(
        """\
        outputs: {y: {type: string, reference: "${n.output}"}}
        nodes:
        - {name: n, use_variants: true}
        node_variants:
          n:
            default_variant_id: v0
            variants:
              v0:
                node: {type: python, source: {type: code, path: run.py}}
              v1:
                node:
                  type: python
                  source: {type: code, path: rum.py}
        """
    )
    (complaint,) = complaints(case, tmp_path)
    assert complaint.mark is not None
    assert (complaint.code, complaint.mark.line, complaint.hint) == (
        "source-not-found",
        13,
        "did you mean 'run.py'?",
    )


def test_the_ignored_keys_of_prompt_flow_are_accepted_with_a_warning(tmp_path: Path) -> None:
    case = Case(
        dag(
            "version: 2\ntools: [{name: x}]\nlanguage: python\nnodes:\n"
            "- name: n\n  type: python\n  source: {type: code, path: run.py}\n  enable_cache: true\n"
            "  skip: {when: 1, is: 1, return: 2}\n  reduce: false\n"
        )
    )
    found = complaints(case, tmp_path)
    assert [(d.code, d.severity, d.mark.key) for d in found if d.mark] == [
        ("not-supported", "warning", "version"),
        ("not-supported", "warning", "tools"),
        ("not-supported", "warning", "nodes[0].enable_cache"),
        ("not-supported", "warning", "nodes[0].skip"),
    ]


def test_an_empty_or_absent_connection_is_a_warning_for_a_run_may_give_it(tmp_path: Path) -> None:
    script = (
        "from promptflow.core import tool\nfrom promptflow.connections import OpenAIConnection\n\n\n"
        "@tool\ndef run(a: OpenAIConnection, b: 'OpenAIConnection | None', c: int):\n    return a\n"
    )
    nodes = (
        "nodes:\n- name: n\n  type: python\n  source: {type: code, path: run.py}\n  inputs: {a: '', c: ''}\n"
    )
    found = complaints(Case(dag(nodes), {"run.py": script}), tmp_path)
    assert sorted((d.code, d.severity, d.mark.key) for d in found if d.mark) == [
        ("missing-argument", "warning", "nodes[0].inputs"),
        ("missing-argument", "warning", "nodes[0].inputs.a"),
        ("missing-argument", "warning", "nodes[0].inputs.c"),
    ]


def test_connections_of_python_tools_are_looked_up_too(tmp_path: Path) -> None:
    script = "from promptflow.core import tool\n\n\n@tool\ndef run(conn: CustomConnection):\n    return 1\n"
    nodes = (
        "nodes:\n- name: n\n  type: python\n  source: {type: code, path: run.py}\n  inputs:\n    conn: min\n"
    )
    case = Case(dag(nodes), {"run.py": script}, connections=("mine",))
    (complaint,) = complaints(case, tmp_path)
    assert (complaint.code, complaint.hint) == ("unknown-connection", "did you mean 'mine'?")


def test_a_parameter_of_the_call_may_not_be_a_variable_of_the_template(tmp_path: Path) -> None:
    nodes = "nodes:\n- {name: n, type: llm, source: {type: code, path: ask.jinja2}}\n"
    case = Case(dag(nodes), {"ask.jinja2": "user:\n{{ model }}\n"})
    assert [d.code for d in complaints(case, tmp_path)] == ["reserved-name"]


def test_a_default_that_is_not_of_its_type_is_told(tmp_path: Path) -> None:
    case = Case(dag(f"inputs:\n  x:\n    type: int\n    default: three\nnodes:\n{NODE}"))
    (complaint,) = complaints(case, tmp_path)
    assert complaint.mark is not None
    assert (complaint.code, complaint.mark.line) == ("wrong-type", 5)


def test_an_output_of_an_aggregation_node_is_left_out_with_a_warning(tmp_path: Path) -> None:
    nodes = "nodes:\n- {name: n, type: python, aggregation: true, source: {type: code, path: run.py}}\n"
    (complaint,) = complaints(Case(dag(nodes)), tmp_path)
    assert (complaint.code, complaint.severity) == ("line-reads-aggregation", "warning")


def test_alternatives_that_meet_again_earn_no_warning(tmp_path: Path) -> None:
    line = "type: python, source: {type: code, path: run.py}"
    case = Case(
        dag(
            "inputs: {a: {type: int}}\nnodes:\n"
            f"- {{name: l, {line}, activate: {{when: '${{inputs.a}}', is: 1}}}}\n"
            f"- {{name: r, {line}, activate: {{when: '${{inputs.a}}', is: 2}}}}\n"
            f"- {{name: n, {line}, inputs: {{x: '${{l.output}}', y: '${{r.output}}'}}}}\n"
        ),
        {"run.py": TOOL.replace("x=None", "x=None, y=None")},
    )
    assert complaints(case, tmp_path) == []


def test_sources_from_includes_are_found(tmp_path: Path) -> None:
    (tmp_path / "shared" / "lib").mkdir(parents=True)
    (tmp_path / "shared" / "lib" / "deep.py").write_text(TOOL)
    (tmp_path / "shared" / "one.py").write_text(TOOL)
    nodes = (
        "additional_includes: [../shared/lib, ../shared/one.py]\nnodes:\n"
        "- {name: n, type: python, source: {type: code, path: lib/deep.py}, inputs: {x: '${m.output}'}}\n"
        "- {name: m, type: python, source: {type: code, path: one.py}}\n"
    )
    assert complaints(Case(dag(nodes)), tmp_path / "flow") == []


def test_no_user_code_is_imported(tmp_path: Path) -> None:
    before = set(sys.modules)
    case = Case(dag(f"nodes:\n{NODE}"), {"run.py": TOOL + "\nraise SystemExit(9)\n"})
    assert complaints(case, tmp_path) == []
    assert not any("pf_main" in name or name == "run" for name in set(sys.modules) - before)


def test_a_node_that_takes_an_assistant_is_refused_by_name(tmp_path: Path) -> None:
    script = (
        "from promptflow.core import tool\nfrom promptflow.contracts.types import AssistantDefinition\n\n"
        "@tool\ndef run(who: AssistantDefinition):\n    return who\n"
    )
    case = Case(
        dag(
            "nodes:\n- {type: python, source: {type: code, path: run.py}, name: n, inputs: {who: who.yaml}}\n"
        ),
        {"run.py": script},
    )
    found = [(c.code, c.severity, c.mark.line if c.mark else 0) for c in complaints(case, tmp_path)]
    assert ("not-supported", "error", 3) in found
