"""Scripts that use `Prompty` and model configurations as they always did."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows_of import write
from tests.model_server import ModelServer

PROMPTY = """\
    ---
    name: Ask
    model:
      configuration: {type: openai, model: m}
    inputs: {question: {type: string}}
    ---
    user:
    {{ question }}
    """
SCRIPT = """\
    import asyncio
    import os
    from promptflow.client import load_flow
    from promptflow.core import AsyncFlow, AsyncPrompty, AzureOpenAIModelConfiguration, Flow, Prompty
    from promptflow.core import OpenAIModelConfiguration
    from promptflow.core._flow import Prompty as Same
    from promptflow.exceptions import UserErrorException

    assert Same is Prompty
    config = OpenAIModelConfiguration(model="m2", base_url=os.environ["OPENAI_BASE_URL"], api_key="k" * 8)
    print(Prompty.load(source="ask.prompty", model={"configuration": config})(question="1"))
    print(Flow.load("ask.prompty")(question="2"), load_flow("ask.prompty")(question="3"))
    print(asyncio.run(AsyncPrompty.load("ask.prompty")(question="4")))
    print(asyncio.run(AsyncFlow.load("ask.prompty")(question="5")))
    azure = AzureOpenAIModelConfiguration(azure_deployment="d", azure_endpoint="http://x", api_key="k" * 8)
    print(azure.azure_deployment, azure.connection)
    for wrong in (lambda: Prompty.load("gone.prompty"), lambda: Prompty.load("ask.prompty")()):
        try:
            wrong()
        except UserErrorException as error:
            print(type(error).__name__, error.code)
    """


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    with ModelServer() as running:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test-key")
        monkeypatch.setenv("OPENAI_BASE_URL", running.base_url)
        yield running


def test_a_script_asks_prompties_by_every_name(tmp_path: Path, server: ModelServer) -> None:
    write(tmp_path, ask__prompty=PROMPTY, script__py=SCRIPT)
    done = subprocess.run(
        [sys.executable, "-m", "promptflow_lite.compat", "script.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "echo: 1",
        "echo: 2 echo: 3",
        "echo: 4",
        "echo: 5",
        "d None",
        "UserErrorException flow-not-found",
        "UserErrorException missing-input",
    ]
    assert [request.body["model"] for request in server.requests] == ["m2", "m", "m", "m", "m"]
