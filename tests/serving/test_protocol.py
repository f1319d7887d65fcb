"""How an answer leaves a connection."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from promptflow_lite.serving.call import Receive, Scope, Send
from promptflow_lite.serving.protocol import Connection

_HEAD = [(b"content-type", b"text/plain"), (b"content-length", b"2")]
_ASKED = b"POST /score HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 0\r\n%b\r\n"


class Wire(asyncio.Transport):
    """Keeps what is written, piece by piece."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.pieces: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        self.pieces.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        """Nothing comes by itself."""

    def resume_reading(self) -> None:
        """Nothing comes by itself."""


@pytest.fixture
def going_on() -> asyncio.Event:
    """Set once the application may send the body."""
    return asyncio.Event()


def connected(app: Any) -> tuple[Connection, Wire]:
    config = uvicorn.Config(app, http=Connection, ws="none", lifespan="off", log_config=None)
    config.load()
    wire = Wire()
    connection = Connection(config=config, server_state=ServerState(), app_state={})
    connection.connection_made(wire)
    return connection, wire


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": _HEAD})
    await send({"type": "http.response.body", "body": b"hi"})


async def test_head_and_body_leave_in_one_piece() -> None:
    connection, wire = connected(answer)
    connection.data_received(_ASKED % b"")
    connection.data_received(_ASKED % b"")
    await settle()
    assert [piece[:15] + piece[-6:] for piece in wire.pieces] == [b"HTTP/1.1 200 OK\r\n\r\nhi"] * 2
    assert not wire.closed
    connection.connection_lost(None)


async def test_a_head_does_not_wait_for_a_body_that_comes_later(going_on: asyncio.Event) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _HEAD})
        await going_on.wait()
        await send({"type": "http.response.body", "body": b"hi"})

    connection, wire = connected(app)
    connection.data_received(_ASKED % b"")
    await settle()
    assert [piece[-4:] for piece in wire.pieces] == [b"\r\n\r\n"]
    going_on.set()
    await settle()
    assert wire.pieces[1:] == [b"hi"]
    connection.connection_lost(None)


async def test_the_last_answer_is_sent_before_the_connection_is_closed() -> None:
    connection, wire = connected(answer)
    connection.data_received(_ASKED % b"connection: close\r\n")
    await settle()
    assert wire.closed
    assert b"".join(wire.pieces).endswith(b"\r\n\r\nhi")
    connection.connection_lost(None)


async def test_the_word_to_go_on_is_sent_at_once() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await answer(scope, receive, send)

    connection, wire = connected(app)
    head = b"POST /score HTTP/1.1\r\nhost: 127.0.0.1\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n"
    connection.data_received(head)
    await settle()
    assert wire.pieces == [b"HTTP/1.1 100 Continue\r\n\r\n"]
    connection.data_received(b"{}")
    await settle()
    assert len(wire.pieces) == 2
    assert wire.pieces[1].endswith(b"\r\n\r\nhi")
    connection.connection_lost(None)
