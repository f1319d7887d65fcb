"""Where is the model of a connection asked, and with what right? A Connection as an Endpoint."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote

from promptflow_lite.connections.base import Connection
from promptflow_lite.connections.catalogue import DEFAULT
from promptflow_lite.connections.entra import TokenSource, token_source
from promptflow_lite.connections.weights import is_known
from promptflow_lite.errors import UserError
from promptflow_lite.registry import Registry
from promptflow_lite.settings import settings
from promptflow_lite.tools.shared import shared_here

__all__ = [
    "OPENAI_EMBEDDING_MODEL",
    "OPENAI_MODEL",
    "Embedded",
    "Endpoint",
    "address_of",
    "endpoint_of",
    "in_daemon",
    "model_of",
    "token_of",
    "warmers_of",
]

T = TypeVar("T")

OPENAI_MODEL = "gpt-4o-mini"
"""What an `open_ai` connection is asked for where neither flow nor connection names a model."""
OPENAI_EMBEDDING_MODEL = "text-embedding-3-small"
"""The same for embeddings."""
_OPENAI_URL = "https://api.openai.com/v1"


@dataclass(frozen=True, slots=True)
class Embedded:
    """The process of an embedded model, which may die."""

    key: Hashable
    """Which model, and how it is served; another process of the same has the same."""
    is_running: Callable[[], bool]
    again: Callable[[], Awaitable[Endpoint]]
    """The endpoint of a process of the same that lives, started if need be."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a connection's model is asked."""

    name: str
    """The connection, for messages."""
    base_url: str
    """Without a slash at its end."""
    headers: Mapping[str, str] | None
    """The authorization; `None` where it is a token that ends (`headers_now`)."""
    secrets: tuple[str, ...]
    """What no message may hold."""
    timeout: timedelta
    """For a whole answer."""
    api_version: str | None = None
    """Azure's classic paths: a deployment is in the path, the version in the query."""
    max_in_flight: int | None = None
    requests_per_minute: float | None = None
    """What its account may do, where the connection says so."""
    tokens_per_minute: float | None = None
    stops_if_streaming: bool = False
    """Whether its server goes on with an answer that nobody waits for any more, unless it streams it."""
    model: str | None = None
    """Of `local`: the name of the embedded model."""
    tokens: TokenSource | None = None
    embedded: Embedded | None = None
    """Of `local`: the process behind it."""

    @property
    def address(self) -> str:
        """What its answers are told by: `local` for the embedded model, whose port is another each time."""
        return self.base_url if self.model is None else "local"

    @property
    def identity(self) -> tuple[Any, ...]:
        """What two connections share if they are one and the same endpoint and account."""
        return (self.base_url, self.secrets) if self.embedded is None else (self.embedded.key,)

    def url(self, operation: str, body: Mapping[str, Any]) -> str:
        """The address of an operation."""
        if self.api_version is None:
            return f"{self.base_url}/{operation}"
        deployment = quote(str(body.get("model", "")), safe="")
        version = quote(self.api_version, safe="")
        return f"{self.base_url}/deployments/{deployment}/{operation}?api-version={version}"

    async def headers_now(self) -> Mapping[str, str]:
        """The authorization with a token that holds."""
        if self.tokens is None:
            return self.headers or {}
        return {"authorization": f"Bearer {await token_of(self.tokens)}"}


def model_of(connection: Connection, named: str | None) -> str | None:
    """The model that will be asked.

    Args:
        connection: of a language model.
        named: what the flow names; for `local`, a name no embedded model has (`gpt-4o`) counts as nothing.
    """
    if connection.TYPE == "local":
        is_embedded = named is not None and is_known(named, settings().models)
        return named if is_embedded else connection.get("model") or DEFAULT
    return named or connection.get("model") or (OPENAI_MODEL if connection.TYPE == "open_ai" else None)


def address_of(connection: Connection) -> str | None:
    """Where a connection's model is asked, as far as that is known before; `local` is the embedded one."""
    if connection.TYPE == "local":
        return "local"
    found: str | None = connection.get("base_url") or connection.get("api_base")
    return found


async def endpoint_of(connection: Connection, model: str | None = None) -> Endpoint:
    """The endpoint of a connection; that of a `local` one is started at its first use.

    Args:
        connection: whose.
        model: which embedded model, for a `local` connection; others serve all of theirs at one endpoint.

    Raises:
        UserError: no language model is behind the connection.
    """
    if connection.TYPE == "local":
        return await _local(connection, model)
    return _remote(connection)


def warmers_of(connection: Connection, model: str | None) -> tuple[Callable[[], Awaitable[object]], ...]:
    """What has the model of a `local` connection ready before it is asked; those of services are."""
    return (partial(endpoint_of, connection, model),) if connection.TYPE == "local" else ()


def _remote(connection: Connection) -> Endpoint:
    key = connection.get("api_key")
    common: dict[str, Any] = {
        "name": connection.name or connection.TYPE,
        "secrets": tuple(str(secret) for secret in connection.secrets.values()),
        "timeout": timedelta(seconds=float(connection.get("timeout") or 300.0)),
        "requests_per_minute": connection.get("requests_per_minute"),
        "tokens_per_minute": connection.get("tokens_per_minute"),
    }
    bearer = {"authorization": f"Bearer {key}"} if key else {}
    match connection.TYPE:
        case "open_ai":
            organization = connection.get("organization")
            headers = bearer | ({"openai-organization": organization} if organization else {})
            base = _slashless(connection.get("base_url") or _OPENAI_URL)
            return Endpoint(base_url=base, headers=headers, **common)
        case "serverless":
            return Endpoint(base_url=f"{_slashless(connection.api_base)}/v1", headers=bearer, **common)
        case "azure_open_ai":
            return _azure(connection, bearer, common)
        case _:
            raise UserError(
                f"connection {connection.name!r} of type {connection.TYPE!r} has no language model",
                code="wrong-connection",
                hint="llm nodes take open_ai, azure_open_ai, serverless and local",
            )


def _azure(connection: Connection, bearer: Mapping[str, str], common: Mapping[str, Any]) -> Endpoint:
    base = _slashless(connection.api_base)
    by_token = connection.auth_mode == "meid_token"
    tokens = token_source() if by_token else None
    if base.endswith("/openai/v1"):  # Azure's newer paths are OpenAI's own
        return Endpoint(base_url=base, headers=None if by_token else bearer, tokens=tokens, **common)
    headers = None if by_token else {"api-key": str(connection.api_key)}
    base = base if base.endswith("/openai") else f"{base}/openai"
    return Endpoint(
        base_url=base, headers=headers, tokens=tokens, api_version=connection.api_version, **common
    )


async def _local(connection: Connection, model: str | None) -> Endpoint:
    serve = Registry("model_servers").get("local")
    chosen = model_of(connection, model)
    board = shared_here().board
    together = None if board is None else board.folder
    server = await in_daemon(lambda: serve(connection, chosen, together))
    return Endpoint(
        name=connection.name or connection.TYPE,
        base_url=_slashless(server.base_url),
        headers={"authorization": f"Bearer {server.api_key}"},
        secrets=(server.api_key,),
        timeout=timedelta(seconds=float(connection.get("timeout") or 600.0)),
        max_in_flight=server.parallel,
        stops_if_streaming=True,
        model=server.model,
        embedded=Embedded(server.key, lambda: server.is_running, lambda: _local(connection, model)),
    )


async def token_of(tokens: TokenSource) -> str:
    """A token that holds; fetched off the loop."""
    token = tokens.fresh
    if token is None:
        token = await in_daemon(tokens.get)
    return token.text


def _slashless(url: str) -> str:
    return str(url).rstrip("/")


async def in_daemon(work: Callable[[], T]) -> T:
    """What `work` gives, done in a thread that does not hold the process's exit: a download may take long."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # the result of a call that did not fail

    def run() -> None:
        try:
            outcome: tuple[T | None, BaseException | None] = (work(), None)
        except BaseException as error:
            outcome = (None, error)
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, *outcome)

    threading.Thread(target=run, name="promptflow_lite.model", daemon=True).start()
    return await future
