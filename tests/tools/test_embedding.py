"""Prompt flow's embedding tool, by the id that flows name it with."""

from __future__ import annotations

from pathlib import Path

from promptflow_lite.connections.kinds import AzureOpenAIConnection, OpenAIConnection
from promptflow_lite.connections.store import Given
from promptflow_lite.engine.line import run_line
from promptflow_lite.flow.load import load_flow
from promptflow_lite.tools.bind import bind, close
from tests.model_server import ModelServer

FLOW = """\
inputs:
  text: {type: string}
outputs:
  vector: {type: list, reference: "${embed.output}"}
nodes:
- name: embed
  type: python
  source: {type: package, tool: promptflow.tools.embedding.embedding}
  inputs: {connection: mine, model: small, input: "${inputs.text}"}
"""


async def test_the_embedding_tool_asks_the_named_connection_and_model(tmp_path: Path) -> None:
    (tmp_path / "flow.dag.yaml").write_text(FLOW, encoding="utf-8")
    with ModelServer() as server:
        mine = OpenAIConnection("mine", api_key="k", base_url=server.base_url)
        bound = bind(load_flow(tmp_path), Given({"mine": mine}))
        try:
            result = await run_line(bound, {"text": "こんにちは"})
        finally:
            await close(bound)
        [request] = server.requests
    assert result.error is None
    assert request.body["input"] == ["こんにちは"]
    assert request.body["model"] == "small"
    assert all(isinstance(number, float) for number in result.outputs["vector"])


async def test_azure_embeds_with_the_deployment_and_tokens_are_counted(tmp_path: Path) -> None:
    text = FLOW.replace("model: small", "deployment_name: ada")
    (tmp_path / "flow.dag.yaml").write_text(text, encoding="utf-8")
    with ModelServer() as server:
        mine = AzureOpenAIConnection("mine", api_key="k", api_base=server.url)
        result = await run_line(bind(load_flow(tmp_path), Given({"mine": mine})), {"text": "two words"})
        [request] = server.requests
    assert result.outputs == {"vector": [9.0, 0.5, -0.25]}
    assert (result.usage.prompt_tokens, result.usage.calls) == (2, 1)
    assert request.target == "/openai/deployments/ada/embeddings?api-version=2024-02-01"
