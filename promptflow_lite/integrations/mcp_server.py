"""How does a flow look to an MCP client? As one tool, with the flow's schema, its progress and its errors.

Over HTTP (the protocol's Streamable HTTP) it is a path of the app, behind the same door as all others: hosts,
keys, limits. Over stdin and stdout a client on this machine starts it itself. No session is kept: every call
stands alone, so workers share them.
"""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from promptflow_lite.engine.events import NodeEnded
from promptflow_lite.errors import MissingExtra
from promptflow_lite.flow.conversation import roles_of
from promptflow_lite.serving.call import Call, Limits, Message, Receive, Scope, Send, check_value
from promptflow_lite.serving.chat import text_of
from promptflow_lite.serving.deployment import Endpoint
from promptflow_lite.serving.refusal import Refusal
from promptflow_lite.serving.reply import dumps
from promptflow_lite.serving.running import Part, Runs
from promptflow_lite.serving.schema import tool_schemas
from promptflow_lite.serving.score import check_inputs, is_shown, outputs_of

if TYPE_CHECKING:
    from mcp.server import Server, ServerRequestContext
    from mcp.types import CallToolRequestParams, CallToolResult, ListToolsResult, PaginatedRequestParams

__all__ = ["App", "app", "over_stdio"]

_PATH = "/mcp"
_ANY_SIZE = 1 << 40
_NOT_OF_A_NAME = re.compile(r"[^A-Za-z0-9_-]+")


def app(endpoint: Endpoint, runs: Runs, *, only: Collection[str] | None) -> App:
    """The ASGI application of the path `/mcp`.

    Args:
        endpoint: who answers.
        runs: how.
        only: the outputs to give; `None` for all but those that are for evaluation only.

    Raises:
        MissingExtra: the package `mcp` is not installed.
    """
    return App(_Tool(endpoint, runs, only))


async def over_stdio(endpoint: Endpoint, runs: Runs, *, only: Collection[str] | None) -> None:
    """Answer one client over stdin and stdout, until it closes them.

    Raises:
        MissingExtra: the package `mcp` is not installed.
    """
    server = _Tool(endpoint, runs, only).server()
    from mcp.server.stdio import stdio_server

    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


class App:
    """The ASGI application; it answers while `running` is entered."""

    def __init__(self, tool: _Tool) -> None:
        self._server = tool.server()
        self._manager: Any = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The time in which it answers."""
        from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
        from mcp.server.transport_security import TransportSecuritySettings

        # Hosts, origins and the size of bodies are the door's.
        security = TransportSecuritySettings(enable_dns_rebinding_protection=False)
        self._manager = StreamableHTTPSessionManager(
            self._server,
            stateless=True,
            security_settings=security,
            session_idle_timeout=None,
            max_request_body_size=_ANY_SIZE,
        )
        running: AbstractAsyncContextManager[None] = self._manager.run()
        async with running:
            yield
        self._manager = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        call = Call.of(scope)
        if scope["method"] != "POST":  # nothing is pushed, and there is no session to end
            raise Refusal(405, "method-not-allowed", "MCP takes POST here", headers=[(b"allow", b"POST")])
        if self._manager is None:
            raise Refusal(503, "not-ready", "the application's lifespan has not begun, or is over")
        body = await call.raw(receive)
        await self._manager.handle_request(scope, _again(body, receive), send)


def _again(body: bytes, receive: Receive) -> Receive:
    """The request's body once more, for whoever reads it next."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay


class _Tool:
    """The flow of an endpoint, as a tool."""

    def __init__(self, endpoint: Endpoint, runs: Runs, only: Collection[str] | None) -> None:
        self._endpoint = endpoint
        self._runs = runs
        self._only = only
        self._name = _NOT_OF_A_NAME.sub("_", endpoint.name)[:64] or "flow"

    def server(self) -> Server[Any]:
        """The MCP server that offers it."""
        try:
            from mcp.server import Server
        except ImportError as error:
            raise MissingExtra("mcp", "mcp") from error
        return Server(
            self._endpoint.name,
            version=version("promptflow_lite"),
            on_list_tools=self._list,
            on_call_tool=self._call,
        )

    async def _list(
        self, context: ServerRequestContext[Any], params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        from mcp.types import ListToolsResult, Tool, ToolAnnotations

        first = next(iter(self._endpoint.deployments.values()), None)
        if first is None:
            return ListToolsResult(tools=[])
        flow = first.flow
        shown = [name for name in flow.outputs if is_shown(flow, name, self._only)]
        inputs, outputs = tool_schemas(flow, shown)
        title = flow.display_name or self._endpoint.name
        return ListToolsResult(
            tools=[
                Tool(
                    name=self._name,
                    title=title,
                    description=flow.description or f"Runs the flow {title!r}.",
                    input_schema=inputs,
                    output_schema=outputs,
                    annotations=ToolAnnotations(title=title),
                )
            ]
        )

    async def _call(
        self, context: ServerRequestContext[Any], params: CallToolRequestParams
    ) -> CallToolResult:
        from mcp import MCPError
        from mcp.types import INVALID_PARAMS, CallToolResult, TextContent

        if params.name != self._name:
            message = f"no tool is named {params.name[:100]!r}; there is: {self._name}"
            raise MCPError(INVALID_PARAMS, message)
        call = _call_of(context)
        try:
            text, outputs = await self._answer(call, params.arguments or {}, context)
        except Refusal as refusal:  # told as the tool's, for the model that called it to see and mend
            call.code = refusal.code
            said = f"{refusal.code}: {refusal.message}"
            return CallToolResult(content=[TextContent(text=said)], is_error=True)
        return CallToolResult(content=[TextContent(text=text)], structured_content=outputs)

    async def _answer(
        self, call: Call, inputs: Mapping[str, Any], context: ServerRequestContext[Any]
    ) -> tuple[str, dict[str, Any]]:
        deployment = self._endpoint.choose(call.headers)
        deployment.gate.check()
        flow = deployment.flow
        check_value(inputs, dumps(inputs))  # over stdin too: what calls the tool is a model
        check_inputs(flow, inputs)
        done = 0

        async def tell(parts: Sequence[Part]) -> None:
            nonlocal done
            for part in parts:
                if isinstance(part, NodeEnded):
                    done += 1
                    run = part.run
                    said = f"{run.node}: {run.status.value} ({run.seconds:.1f} s)"
                    await context.session.report_progress(done, len(flow.nodes), said)

        line = await self._runs.streamed(call, deployment, inputs, _forever, tell)
        outputs: dict[str, Any] = json.loads(dumps(outputs_of(flow, line, self._only)))
        roles = roles_of(flow)
        chief = roles.answer if roles is not None else next(iter(outputs)) if len(outputs) == 1 else None
        value = outputs.get(chief) if chief is not None else outputs
        return (value if isinstance(value, str) else text_of(value)), outputs


def _call_of(context: ServerRequestContext[Any]) -> Call:
    """The request that the call came with; one of its own over stdin."""
    request = context.request
    if request is not None:
        return Call.of(request.scope)
    return Call({}, _PATH, uuid.uuid4().hex, None, Limits())


async def _forever() -> Message:
    """A caller that does not leave: the protocol cancels a call itself, and with it our task."""
    await asyncio.Event().wait()
    return {"type": "http.disconnect"}
