"""Which flex flows and prompty files of the original's repository are run on both sides, and with what?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from promptflow_lite.errors import PromptflowError
from promptflow_lite.flow.load import load_flow
from promptflow_lite.flow.source import read_yaml
from promptflow_lite.flow.spec import Flow, FlowInput

__all__ = ["CODE_DIFFERENT", "CODE_LEFT_OUT", "init_of", "lines_beside", "places"]

_TESTS = "src/promptflow/tests/test_configs"
_LINES = 4
_DATA = ("data.jsonl", "inputs.jsonl", "sample.json", "inputs.json")
_SAMPLES: Mapping[str, Any] = {
    "string": "hello",
    "int": 3,
    "double": 1.5,
    "bool": True,
    "list": ["a", "b"],
    "object": {"a": "1"},
    "AzureOpenAIModelConfiguration": {
        "connection": "azure_open_ai_connection",
        "azure_deployment": "gpt-35-turbo",
    },
    "OpenAIModelConfiguration": {"connection": "openai_connection", "model": "gpt-4o"},
}

CODE_LEFT_OUT: Mapping[str, str] = {
    "eager_flows/long_running": "sleeps for minutes",
    "eager_flows/simple_with_random_fail": "fails at random",
    "eager_flows/basic_dummy_csharp_flex_flow": "C#",
    "eager_flows/flow_with_operation_context": "asserts on ids of the original's own tracing",
    "flex-flows/eval-criteria-with-langchain": "needs langchain of 2023",
}

_ROLE = "its data says `system` for a turn of the history; it is sent as `assistant`"

CODE_DIFFERENT: Mapping[str, str] = {
    "flex-flows/chat-async-stream": _ROLE,
    "flex-flows/chat-basic": _ROLE,
    "flex-flows/chat-stream": _ROLE,
    "prompty/format-output/all_response.prompty": "the original cannot write a whole answer down",
    "prompty/format-output": _ROLE,
    "eager_flows/chat-basic": _ROLE,
    "eager_flows/evc_connection_not_exist": "a variable of a connection that does not exist is an error",
    "eager_flows/flow_with_dataclass_output": "the original cannot read the default list that it wrote",
}


def places(checkout: Path) -> Iterator[tuple[str, str]]:
    """Each flow file from the checkout's root, and its kind: `flex`, `prompty`, and `asked` from Python."""
    folders = ("examples/flex-flows", "examples/prompty", f"{_TESTS}/eager_flows", f"{_TESTS}/prompty")
    for folder in folders:
        for file in sorted((checkout / folder).rglob("*")):
            path = file.relative_to(checkout).as_posix()
            if file.suffix == ".prompty":
                yield path, "prompty"
                yield path, "asked"
            elif file.suffix in (".yaml", ".yml") and _is_flex(file):
                yield path, "flex"


def lines_beside(file: Path, *, is_asked: bool = False) -> list[Mapping[str, Any]]:
    """The inputs that lie beside a flow, each over samples of its types; and none, for its sample.

    The original's executor does not know the sample of a prompty; its Python class does.
    """
    flow = _load(file)
    needed = (
        {} if flow is None else {n: s for n, s in flow.inputs.items() if s.default is None and not s.optional}
    )
    base = {name: _sample(spec) for name, spec in needed.items()}
    if flow is not None and flow.sample and _declares_none(flow) and not is_asked:
        return [flow.sample]  # the original drops whatever else is given
    rows = [row for name in _DATA for row in _rows(file.parent / name)]
    known = [{k: v for k, v in row.items() if flow is None or k in flow.inputs} for row in rows]
    none: list[Mapping[str, Any]] = [] if file.suffix == ".prompty" and not is_asked else [{}]
    lines: list[Mapping[str, Any]] = [*none, base, *({**base, **row} for row in known if row)]
    return [line for index, line in enumerate(lines) if line not in lines[:index]][:_LINES]


def _declares_none(flow: Flow) -> bool:
    data = flow.document.data
    return flow.nodes[0].type == "prompty" and isinstance(data, dict) and not data.get("inputs")


def init_of(file: Path) -> Mapping[str, Any] | None:
    """What lies beside a class flow to make it with, over samples of its types; `None` for any other."""
    flow = _load(file)
    if flow is None or not flow.init or (flow.init_values and not (file.parent / "init.json").exists()):
        return None
    base = {n: _sample(s) for n, s in flow.init.items() if s.default is None and not s.optional}
    beside = next(iter(_rows(file.parent / "init.json")), {})
    return {**base, **{name: value for name, value in beside.items() if name in flow.init}}


def _sample(spec: FlowInput) -> Any:
    return "azure_open_ai_connection" if spec.type.endswith("Connection") else _SAMPLES.get(spec.type, "x")


def _load(file: Path) -> Flow | None:
    try:
        return load_flow(file)
    except PromptflowError:
        return None


def _is_flex(file: Path) -> bool:
    try:
        data = read_yaml(file).data
    except PromptflowError:
        return False
    return isinstance(data, dict) and "entry" in data


def _rows(file: Path) -> Sequence[dict[str, Any]]:
    if not file.is_file():
        return []
    text = file.read_text(encoding="utf-8")
    try:
        rows = json.loads(text)
    except ValueError:
        rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    rows = rows if isinstance(rows, list) else [rows]
    return [row for row in rows if isinstance(row, dict)]
