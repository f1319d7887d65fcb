"""A flow.flex.yaml, or `module:function`, is read as a Flow without importing its code."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptflow_lite.errors import Diagnostic, FlowError, InputError
from promptflow_lite.flow.check import check
from promptflow_lite.flow.init import give
from promptflow_lite.flow.load import load_flow
from promptflow_lite.flow.spec import Flow
from tests.flows_of import write

FUNCTION = """\
from dataclasses import dataclass
from typing import Optional, TypedDict
from promptflow.connections import AzureOpenAIConnection

open("imported", "w").close()


@dataclass
class Verdict:
    score: float
    why: str


class Pair(TypedDict):
    left: int
    right: list


def judge(answer: str, truth="Paris", limit: int = 3, strict: bool = False, history: list = None,
          extra: Optional[str] = None, later=len, anything: dict = None) -> Verdict:
    return Verdict(1.0, "")


async def pair(a, b: float) -> Pair:
    return {"left": 1, "right": []}


def plain(question: str):
    return question
"""

CLASS = """\
from promptflow.core import AzureOpenAIModelConfiguration


class Base:
    def __aggregate__(self, results: list) -> dict:
        return {}


class Score(Base):
    def __init__(self, model_config: AzureOpenAIModelConfiguration, weight: float = 0.5):
        pass

    def __call__(self, answer: str) -> str:
        return answer
"""


def flex(folder: Path, entry: str, more: str = "", script: str = FUNCTION) -> Path:
    """A flex flow of that entry; `code.py` is its script."""
    return write(folder, flow__flex__yaml="", code__py=script) and _with(folder, f"entry: {entry}\n{more}")


def _with(folder: Path, text: str) -> Path:
    (folder / "flow.flex.yaml").write_text(text, encoding="utf-8")
    return folder


def complaints(source: Path) -> list[Diagnostic]:
    try:
        return check(load_flow(source))
    except FlowError as error:
        return list(error.diagnostics)


def kinds(flow: Flow) -> dict[str, str]:
    return {name: spec.type for name, spec in flow.inputs.items()}


def test_inputs_are_the_parameters_with_the_types_of_their_annotations(tmp_path: Path) -> None:
    flow = load_flow(flex(tmp_path, "code:judge"))
    assert kinds(flow) == {
        "answer": "string",
        "truth": "string",
        "limit": "int",
        "strict": "bool",
        "history": "list",
        "extra": "string",
        "later": "object",
        "anything": "object",
    }
    assert {name: spec.default for name, spec in flow.inputs.items() if spec.default is not None} == {
        "truth": "Paris",
        "limit": 3,
        "strict": False,
    }
    assert [name for name, spec in flow.inputs.items() if spec.optional] == [
        "history",
        "extra",
        "later",
        "anything",
    ]


@pytest.mark.parametrize(
    ("entry", "outputs"),
    [
        ("code:judge", {"score": "double", "why": "string"}),
        ("code:pair", {"left": "int", "right": "list"}),
        ("code:plain", {"output": "object"}),
    ],
)
def test_outputs_are_the_fields_of_what_it_returns(
    entry: str, outputs: dict[str, str], tmp_path: Path
) -> None:
    flow = load_flow(flex(tmp_path, entry))
    assert {name: spec.type for name, spec in flow.outputs.items()} == outputs


def test_a_class_has_init_and_may_aggregate_by_a_base_of_its_script(tmp_path: Path) -> None:
    flow = load_flow(flex(tmp_path, "code:Score", script=CLASS))
    assert {name: spec.type for name, spec in flow.init.items()} == {
        "model_config": "AzureOpenAIModelConfiguration",
        "weight": "double",
    }
    assert [(node.name, node.aggregation) for node in flow.nodes] == [
        ("Score", False),
        ("__aggregate__", True),
    ]


def test_reading_and_checking_import_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert complaints(flex(tmp_path, "code:judge")) == []
    assert not (tmp_path / "imported").exists()


def test_what_the_file_declares_goes_over_what_the_script_says(tmp_path: Path) -> None:
    more = "inputs:\n  answer: {type: object}\n  limit: {type: int, default: 5}\n"
    more += "  truth: {type: string, default: ''}\n"
    flow = load_flow(flex(tmp_path, "code:judge", more))
    assert flow.inputs["answer"].type == "object"
    assert flow.inputs["limit"].default == 5
    assert flow.inputs["truth"].default == "Paris"


def test_module_and_function_are_a_flow_without_a_file(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text(FUNCTION, encoding="utf-8")
    for written in ("code:pair", "code.py:pair"):
        flow = load_flow(tmp_path / written)
        assert kinds(flow) == {"a": "object", "b": "double"}
        assert flow.folder == tmp_path


def test_an_entry_in_a_flow_dag_yaml_is_a_flex_flow(tmp_path: Path) -> None:
    write(tmp_path, dag="entry: code:plain\n", code__py=FUNCTION)
    assert load_flow(tmp_path).nodes[0].type == "flex"


def test_the_module_may_lie_deeper_or_among_the_includes(tmp_path: Path) -> None:
    write(tmp_path / "flow" / "inner", deep__py=FUNCTION)
    write(tmp_path / "shared", common__py=FUNCTION)
    folder = flex(tmp_path / "flow", "inner.deep:plain")
    assert kinds(load_flow(folder)) == {"question": "string"}
    _with(folder, "entry: common:plain\nadditional_includes: [../shared/common.py]\n")
    assert kinds(load_flow(folder)) == {"question": "string"}


def test_a_sample_may_lie_in_files(tmp_path: Path) -> None:
    more = "sample:\n  inputs: ${file:in.json}\n  init: {weight: 1}\n"
    folder = flex(tmp_path, "code:Score", more, script=CLASS)
    (folder / "in.json").write_text('{"answer": "yes"}', encoding="utf-8")
    flow = load_flow(folder)
    assert flow.sample == {"answer": "yes"}
    assert flow.init_values == {"weight": 1}


@pytest.mark.parametrize(
    ("text", "script", "code", "file", "line", "hint"),
    [
        ("name: x\n", FUNCTION, "missing-key", "flow.flex.yaml", 1, None),
        ("entry: plain\n", FUNCTION, "bad-entry", "flow.flex.yaml", 1, "write code:plain?"),
        ("\nentry: code.py\n", FUNCTION, "bad-entry", "flow.flex.yaml", 2, "as in code:my_function"),
        ("entry: cod:plain\n", FUNCTION, "source-not-found", "flow.flex.yaml", 1, "did you mean 'code'?"),
        ("entry: code:plan\n", FUNCTION, "unknown-entry", "flow.flex.yaml", 1, "did you mean 'plain'?"),
        ("entry: code:C\n", "class C:\n    pass\n", "bad-entry", "code.py", 1, None),
        ("entry: code:f\n", "def f(:\n", "script-syntax", "code.py", 1, None),
        ("entry: code:f\n", "def f(x: object):\n    pass\n", "bad-entry", "code.py", 1, "dict"),
        ("entry: code:f\n", "class A:\n    pass\n\n\ndef f() -> A: ...\n", "bad-entry", "code.py", 5, "dict"),
        (
            "entry: code:C\n",
            "class C:\n    def __call__(self, x): ...\n    def __aggregate__(self, a, b): ...\n",
            "bad-entry",
            "code.py",
            3,
            None,
        ),
        ("entry: code:plain\ninput: {}\n", FUNCTION, "unknown-key", "flow.flex.yaml", 2,
         "did you mean 'inputs'?"),
        ("entry: code:plain\nnodes: []\n", FUNCTION, "unknown-key", "flow.flex.yaml", 2, None),
        (
            "entry: code:plain\ninputs:\n  quesion: {type: string}\n  question: {type: string}\n",
            FUNCTION,
            "unknown-parameter",
            "flow.flex.yaml",
            3,
            "did you mean 'question'?",
        ),
        (
            "entry: code:pair\ninputs:\n  a: {type: string}\n",
            FUNCTION,
            "missing-argument",
            "flow.flex.yaml",
            2,
            None,
        ),
        ("entry: code:plain\ninputs:\n  question: {type: strin}\n", FUNCTION, "wrong-type",
         "flow.flex.yaml", 3, "did you mean 'string'?"),
        ("entry: code:plain\nlanguage: csharp\n", FUNCTION, "not-supported", "flow.flex.yaml", 2, None),
        ("entry: code:plain\nsample: ${file:no.json}\n", FUNCTION, "source-not-found",
         "flow.flex.yaml", 2, None),
        ("entry: code:plain\nenvironment_variables: {PATH: x}\n", FUNCTION, "forbidden-variable",
         "flow.flex.yaml", 2, None),
        ("entry: code:f\n", "from other import f\n", "entry-not-read", "flow.flex.yaml", 1, "declare inputs"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place(
    text: str, script: str, code: str, file: str, line: int, hint: str | None, tmp_path: Path
) -> None:
    write(tmp_path, code__py="")
    (tmp_path / "code.py").write_text(script, encoding="utf-8")
    found = {complaint.code: complaint for complaint in complaints(_with(tmp_path, text))}
    assert code in found
    mark = found[code].mark
    assert mark is not None
    assert (Path(mark.file).name, mark.line) == (file, line)
    assert hint is None or hint in (found[code].hint or "")


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = "entry: code:plan\nfoo: 1\ninputs:\n  question: {type: x}\n"
    write(tmp_path, code__py=FUNCTION)
    assert [c.code for c in complaints(_with(tmp_path, text))] == [
        "unknown-entry",
        "unknown-key",
        "wrong-type",
    ]


def test_init_is_read_as_its_types_ask_for(tmp_path: Path) -> None:
    flow = load_flow(flex(tmp_path, "code:Score", script=CLASS))
    given = give(flow, {"weight": "2", "model_config": '{"azure_deployment": "d"}'})
    assert given.init_values == {"weight": 2.0, "model_config": {"azure_deployment": "d"}}


@pytest.mark.parametrize(
    ("values", "code", "said"),
    [
        ({"wait": 1}, "unknown-init", "did you mean 'weight'?"),
        ({"weight": "heavy"}, "wrong-input", "expected a double, got 'heavy'"),
    ],
)
def test_an_init_that_does_not_fit_is_told(
    values: dict[str, object], code: str, said: str, tmp_path: Path
) -> None:
    flow = load_flow(flex(tmp_path, "code:Score", script=CLASS))
    with pytest.raises(InputError) as raised:
        give(flow, values)
    assert said in str(raised.value)
    assert raised.value.code in (code, "unknown-init")


def test_a_flow_of_nodes_takes_no_init(tmp_path: Path) -> None:
    flow = load_flow(write(tmp_path, dag="nodes: []\n"))
    with pytest.raises(InputError) as raised:
        give(flow, {"x": 1})
    assert raised.value.code == "unknown-init"


@pytest.mark.parametrize(
    ("body", "outputs"),
    [
        ('return {"a": x, "b": 1}', ["a", "b"]),
        ('if x:\n        return {"a": 1}\n    return {"b": 2}', ["a", "b"]),
        ('if x:\n        return {"a": 1}\n    return x', ["output"]),
        ('def g():\n        return {"a": 1}\n    return g()', ["output"]),
        ("return {x: 1}", ["output"]),
    ],
)
def test_without_an_annotation_outputs_are_the_keys_that_it_returns(
    body: str, outputs: list[str], tmp_path: Path
) -> None:
    flow = load_flow(flex(tmp_path, "code:f", script=f"def f(x):\n    {body}\n"))
    assert list(flow.outputs) == outputs


def test_a_class_without_init_is_read_whole(tmp_path: Path) -> None:
    script = "class C:\n    def __call__(self, a, *, b=1):\n        return a\n"
    flow = load_flow(flex(tmp_path, "code:C", script=script))
    assert (list(flow.inputs), flow.init) == (["a", "b"], {})
