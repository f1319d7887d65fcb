"""Which flows of the original's repository are run on both sides, with what, and what is known to differ?"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from promptflow_lite.errors import PromptflowError
from promptflow_lite.flow.source import read_yaml
from tests.compat.code_cases import CODE_DIFFERENT, CODE_LEFT_OUT, init_of, lines_beside, places

__all__ = ["DIFFERENT", "LEFT_OUT", "Case", "cases_in"]

_TESTS = "src/promptflow/tests/test_configs"
_EXAMPLES = "examples/flows"
_LINES = 4
_SAMPLES: Mapping[str, Any] = {
    "string": "hello",
    "int": 3,
    "double": 1.5,
    "bool": True,
    "list": ["a", "b"],
    "object": {"a": 1},
    "image": {"data:image/png;base64": "iVBORw0KGgo="},
}
_DATA = ("data.jsonl", "inputs.jsonl", "samples.json", "samples.jsonl", "test_data.jsonl", "inputs.json")


@dataclass(frozen=True)
class Case:
    """One flow with one choice of everything."""

    path: str
    """The flow's file, from the checkout's root."""
    kind: str = "dag"
    """Which function of each side runs it."""
    lines: Sequence[Mapping[str, Any]] | None = None
    """The inputs; `None`: those that lie beside the flow, and its defaults."""
    variant: str | None = None
    init: Mapping[str, Any] | None = None
    """What the class of a flex flow is made with."""
    answer: str | None = None
    """What the model always says; `None`: the script of `sides.scripted`."""
    status: int = 200
    """What the model's endpoint answers with."""
    kinds: Mapping[str, str] = field(default_factory=dict)
    """What a connection is made to be (`sides.scripted.kind_of`), where its name does not tell."""
    note: str = ""
    """What tells this case from the others of its flow."""

    @property
    def id(self) -> str:
        """A name: the flow's place, and what is special."""
        place = self.path.removeprefix(f"{_TESTS}/").removeprefix("examples/")
        place = place.removesuffix("/flow.dag.yaml").removesuffix("/flow.flex.yaml")
        place += " from Python" if self.kind == "asked" else ""
        return f"{place}{f' {self.variant}' if self.variant else ''}{f' ({self.note})' if self.note else ''}"


STANDARD = (
    "basic",
    "basic-with-builtin-llm",
    "basic-with-connection",
    "conditional-flow-for-if-else",
    "conditional-flow-for-switch",
    "customer-intent-extraction",
    "describe-image",
    "flow-with-additional-includes",
    "flow-with-symlinks",
    "gen-docstring",
    "maths-to-code",
    "named-entity-recognition",
    "question-simulation",
    "web-classification",
)
CHAT = (
    "chat-basic",
    "chat-math-variant",
    "chat-with-image",
    "chat-with-wikipedia",
    "use_functions_with_chat_models",
)

PICTURE = {
    "data:image/png;base64": "iVBORw0KGgoAAAANSUhEUgAAAAQAAAADCAIAAAA7ljmRAAAADUlEQVR4"
    "nGP4z0AMAAAmAQEAFbvdTgAAAABJRU5ErkJggg=="
}
CHOSEN: Mapping[str, Mapping[str, Any]] = {
    f"{_EXAMPLES}/chat/use_functions_with_chat_models/flow.dag.yaml": {
        "lines": [{"question": "What is the weather in Boston?", "chat_history": []}]
    },
    f"{_EXAMPLES}/standard/describe-image/flow.dag.yaml": {
        "lines": [{"question": "What is it?", "input_image": PICTURE}]
    },
    f"{_EXAMPLES}/chat/chat-with-image/flow.dag.yaml": {
        "lines": [
            {"chat_history": [], "question": ["How many colors?", PICTURE]},
            {
                "chat_history": [
                    {"inputs": {"question": ["What?", PICTURE]}, "outputs": {"answer": "A dot."}}
                ],
                "question": ["And now?", PICTURE, "Say it."],
            },
        ]
    },
    f"{_EXAMPLES}/standard/gen-docstring/flow.dag.yaml": {"kinds": {"open_ai_connection": "azure"}},
    f"{_EXAMPLES}/evaluation/eval-summarization/flow.dag.yaml": {
        "kinds": {"open_ai_connection": "azure"},
        "answer": "3",
    },
    f"{_EXAMPLES}/evaluation/eval-single-turn-metrics/flow.dag.yaml": {
        "answer": '{"score": 4, "question": "What?", "noncommittal": false, "TP": ["a"], "FP": []}'
    },
}
"""What a flow is run with: where its own inputs are pictures on the web or stumble over a library's nulls,
where a connection's name does not tell its type, or where it asks for a special answer."""

LEFT_OUT: Mapping[str, str] = {
    "flows/csharp_flow": "C#",
    "flows/long_run": "sleeps for minutes",
    "flows/one_line_of_bulktest_timeout": "sleeps for minutes",
    "flows/flow_with_langchain_traces": "needs langchain of 2023",
    "flows/package_tools": "needs a package that is not installed",
    "flows/export": "holds a built flow, not one to run",
    "flows/saved": "holds what a command wrote, not a flow to run",
    "flows/simple_fetch_url": "fetches a page of the web at import",
    "flows/eval_flow_with_image_resume_random_fail": "fails at random",
    "flows/simple_hello_world_random_fail": "fails at random",
    "flows/web_classification_random_fail": "fails at random",
    "flows/chat_group/cloud_batch_runs/chat_group_simulation": "gives a new identifier at each run",
}
"""By an id, or how it begins before a slash or a space: why it is not run."""

_WRITTEN_ANEW = (
    "the original writes the flow anew before it runs it, and breaks a long default (`\\n` becomes `\\ n`): "
    "a request differs, no output"
)
DIFFERENT: Mapping[str, str] = {
    "flows/evaluation/eval-qna-rag-metrics": _WRITTEN_ANEW,
    "flows/evaluation/eval-multi-turn-metrics": _WRITTEN_ANEW,
    "flows/conditional_flow_with_aggregate_bypassed": "two nodes log one metric at the same time: the later "
    "one holds, on both sides",
    "flows/standard/gen-docstring": "it names a parameter as promptflow-tools did before 1.6; that "
    "works here",
    "flows/evc_connection_not_exist": "a variable that names no connection is an error, not its own text",
    "flows/llm_tool_with_duplicated_inputs": "a template may read an input named `prompt`",
    "flows/prompt_tool_with_duplicated_inputs": "a template may read an input named `template`",
    "flows/sample_flow_with_functions": "the message is as the endpoint sent it; the original adds the "
    "client library's null fields, over which this flow stumbles",
    "flows/script_with___file__": "a script's module has a name of its own, not `__pf_main__`",
}
"""By an id in the same way: why our outcome differs on purpose."""


def cases_in(checkout: Path) -> list[Case]:
    """Every case that the checkout has files for."""
    found = [*_examples(checkout), *_swept(checkout, "flows"), *_swept(checkout, "wrong_flows"), *FURTHER]
    found += _code(checkout)
    return [case for case in found if (checkout / case.path).exists() and why_left_out(case) is None]


FURTHER: tuple[Case, ...] = (
    Case(f"{_EXAMPLES}/standard/basic-with-builtin-llm/flow.dag.yaml", status=401, note="the key is refused"),
    Case(
        f"{_EXAMPLES}/standard/maths-to-code/flow.dag.yaml",
        answer="no code",
        note="an answer that is no code",
    ),
)
"""Cases that are not found by looking: other answers, other kinds."""


def why_left_out(case: Case) -> str | None:
    """Why a case is not run; `None` if it is."""
    return _about(case, {**LEFT_OUT, **CODE_LEFT_OUT})


def why_different(case: Case) -> str | None:
    """Why our outcome differs on purpose; `None` if it should not."""
    return _about(case, {**DIFFERENT, **CODE_DIFFERENT})


def _about(case: Case, reasons: Mapping[str, str]) -> str | None:
    return next(
        (why for name, why in reasons.items() if re.match(rf"{re.escape(name)}(?=[/ ]|$)", case.id)), None
    )


def _examples(checkout: Path) -> Iterator[Case]:
    for group, names in (("standard", STANDARD), ("chat", CHAT)):
        for name in names:
            yield from _of_flow(checkout, checkout / _EXAMPLES / group / name / "flow.dag.yaml")
    for file in sorted((checkout / _EXAMPLES / "evaluation").glob("*/flow.dag.yaml")):
        yield from _of_flow(checkout, file)


def _code(checkout: Path) -> Iterator[Case]:
    for path, kind in places(checkout):
        file = checkout / path
        init = init_of(file) if kind == "flex" else None
        yield Case(path, kind, lines=lines_beside(file, is_asked=kind == "asked"), init=init)


def _swept(checkout: Path, folder: str) -> Iterator[Case]:
    for file in sorted((checkout / _TESTS / folder).rglob("*.dag.y*ml")):
        yield from _of_flow(checkout, file)


def _of_flow(checkout: Path, file: Path) -> Iterator[Case]:
    """A case for the flow as it is, and one for each variant that is not the default."""
    path = file.relative_to(checkout).as_posix()
    chosen = CHOSEN.get(path, {})
    yield Case(path, **chosen)
    data = _read(file)
    listed = data.get("node_variants") or {}
    for node, body in listed.items():
        for variant in (body or {}).get("variants") or {}:
            if variant != body.get("default_variant_id"):
                yield Case(path, **chosen, variant=f"${{{node}.{variant}}}")


def lines_of(file: Path) -> list[Mapping[str, Any]]:
    """The inputs that lie beside a flow, after one line of its defaults and samples of its types."""
    inputs = _read(file).get("inputs") or {}
    base = {
        name: _sample(name, spec or {}, _read(file)) for name, spec in inputs.items() if _needs(spec or {})
    }
    lines: list[Mapping[str, Any]] = [base]
    for name in _DATA:
        if (file.parent / name).is_file():
            rows = _rows(file.parent / name)
            known = ({key: value for key, value in row.items() if key in inputs} for row in rows)
            lines += [{**base, **row} for row in known if row]
            break
    return lines[:_LINES]


def _needs(spec: Mapping[str, Any]) -> bool:
    return spec.get("default") is None


def _sample(name: str, spec: Mapping[str, Any], flow: Mapping[str, Any]) -> Any:
    if name == "chat_history" or spec.get("is_chat_history"):
        asked = next((n for n, s in flow["inputs"].items() if (s or {}).get("is_chat_input")), "question")
        given = next((n for n, s in (flow.get("outputs") or {}).items() if s.get("is_chat_output")), "answer")
        return [{"inputs": {asked: "before"}, "outputs": {given: "said\nbefore"}}]
    return _SAMPLES.get(str(spec.get("type")), "x")


def _rows(file: Path) -> list[dict[str, Any]]:
    text = file.read_text(encoding="utf-8")
    try:
        rows = json.loads(text)
    except ValueError:
        rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    rows = rows if isinstance(rows, list) else [rows]
    return [row for row in rows if isinstance(row, dict)]


def _read(file: Path) -> Mapping[str, Any]:
    try:
        data = read_yaml(file).data
    except (PromptflowError, OSError):
        return {}
    return data if isinstance(data, dict) else {}
