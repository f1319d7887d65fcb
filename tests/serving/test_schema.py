"""The served schema is true: Schemathesis finds nothing that contradicts it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from promptflow_lite.settings import settings
from tests.flows_of import write
from tests.model_server import ModelServer
from tests.serving import strangers
from tests.serving.served import Served, chat_flow

KEY = "a-key-for-the-tests-of-serving"
TYPED = """\
description: All the types.
inputs:
  text: {type: string, description: what to say}
  count: {type: int, default: 1}
  ratio: {type: double, default: 0.5}
  loud: {type: bool, default: false}
  words: {type: list, default: []}
  extra: {type: object, default: {}}
outputs:
  all: {type: object, reference: "${gather.output}"}
  hidden: {type: string, reference: "${inputs.text}", evaluation_only: true}
nodes:
- name: gather
  type: python
  source: {type: code, path: gather.py}
  inputs:
    text: ${inputs.text}
    count: ${inputs.count}
    ratio: ${inputs.ratio}
    loud: ${inputs.loud}
    words: ${inputs.words}
    extra: ${inputs.extra}
"""
GATHER = """\
from promptflow_lite import tool


@tool
def gather(text: str, count: int, ratio: float, loud: bool, words: list, extra: dict) -> dict:
    return {"text": text, "count": count, "ratio": ratio, "loud": loud, "words": words, "extra": extra}
"""


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    flow = write(tmp_path_factory.mktemp("flows") / "typed", dag=TYPED, gather__py=GATHER)
    with Served(flow, keys=(KEY,)) as served:
        yield served


def _document(served: Served) -> dict[str, Any]:
    return dict(json.loads(served.call("GET", "/swagger.json", headers={"api-key": KEY})[1]))


def test_inputs_are_typed_and_only_those_without_a_default_are_required(typed: Served) -> None:
    inputs = _document(typed)["components"]["schemas"]["Inputs"]
    assert {name: field.get("type", field.get("title")) for name, field in inputs["properties"].items()} == {
        "text": "string",
        "count": "integer",
        "ratio": "number",
        "loud": "boolean",
        "words": "array",
        "extra": "object",
    }
    assert inputs["required"] == ["text"]
    assert inputs["properties"]["text"]["description"] == "what to say"
    assert inputs["properties"]["count"]["default"] == 1


def test_outputs_for_evaluation_only_are_neither_shown_nor_given(typed: Served) -> None:
    assert list(_document(typed)["components"]["schemas"]["Outputs"]["properties"]) == ["all"]
    assert list(typed.score({"text": "a"}, api_key=KEY)[1]) == ["all"]


def test_named_outputs_are_given_whatever_they_are_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMPTFLOW_RESPONSE_INCLUDED_FIELDS", '["hidden"]')
    settings.cache_clear()
    with Served(write(tmp_path / "typed", dag=TYPED, gather__py=GATHER)) as served:
        assert served.score({"text": "a"}) == (200, {"hidden": "a"})


@pytest.mark.parametrize("samples", ['{"text": "from a sample", "count": 7}', '[{"text": "from a sample"}]'])
def test_the_example_is_the_flows_sample(tmp_path: Path, samples: str) -> None:
    flow = write(tmp_path / "typed", dag=TYPED, gather__py=GATHER, samples__json=samples)
    with Served(flow) as served:
        text = served.call("GET", "/swagger.json")[1]
        example = json.loads(text)["components"]["schemas"]["Inputs"]["example"]
        assert example["text"] == "from a sample"
        assert served.score(example)[0] == 200
        assert b"from a sample" in served.call("GET", "/docs")[1]


def test_the_docs_need_no_network(typed: Served) -> None:
    response, text = typed.call("GET", "/docs", headers={"api-key": KEY})
    assert response.status == 200
    assert b"POST /score" in text
    assert b"<script" not in text
    assert b"//" not in text.replace(b"http://127.0.0.1", b"").replace(b"://json-schema", b"")


@pytest.mark.parametrize("method", ["GET /score", "DELETE /health", "POST /metrics"])
def test_a_wrong_method_says_which_are_right(typed: Served, method: str) -> None:
    verb, path = method.split()
    response, _ = typed.call(verb, path, headers={"api-key": KEY})
    assert response.status == 405
    assert response.getheader("allow")


def test_schemathesis_finds_nothing_in_a_typed_flow(typed: Served) -> None:
    strangers.schemathesis(typed.port, KEY)


def test_schemathesis_finds_nothing_in_a_chat_flow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ModelServer() as model:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-model")
        monkeypatch.setenv("OPENAI_BASE_URL", model.base_url)
        settings.cache_clear()
        with Served(chat_flow(tmp_path / "support"), keys=(KEY,)) as served:
            strangers.schemathesis(
                served.port, KEY, "--include-path", "/v1/chat/completions", "--include-path", "/score"
            )
