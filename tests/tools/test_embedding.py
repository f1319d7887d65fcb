"""Prompt flow's embedding tool works as a package node."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptflow_lite.connections.base import Connection
from promptflow_lite.connections.kinds import AzureOpenAIConnection, OpenAIConnection
from promptflow_lite.connections.store import Given
from promptflow_lite.engine.line import run_line
from promptflow_lite.flow.load import load_flow
from promptflow_lite.tools.bind import bind
from tests.model_server import ModelServer

FLOW = """\
inputs: {text: {type: string}}
outputs: {vector: {type: list, reference: "${embed.output}"}}
nodes:
- name: embed
  type: python
  source: {type: package, tool: promptflow.tools.embedding.embedding}
  inputs:
    connection: mine
    deployment_name: ada
    input: ${inputs.text}
"""


@pytest.mark.parametrize("kind", ["azure", "openai"])
async def test_the_embedding_tool_gives_a_vector_and_counts_tokens(tmp_path: Path, kind: str) -> None:
    (tmp_path / "flow.dag.yaml").write_text(FLOW, encoding="utf-8")
    with ModelServer() as server:
        connection: Connection = OpenAIConnection("mine", api_key="k", base_url=server.base_url)
        if kind == "azure":
            connection = AzureOpenAIConnection("mine", api_key="k", api_base=server.url)
        result = await run_line(bind(load_flow(tmp_path), Given({"mine": connection})), {"text": "two words"})
        assert result.outputs == {"vector": [9.0, 0.5, -0.25]}
        assert (result.usage.prompt_tokens, result.usage.calls) == (2, 1)
        assert server.requests[0].body["model"] == "ada"
