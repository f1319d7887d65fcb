"""A scripted OpenAI-compatible endpoint on loopback: the true wire protocol, answers and faults of a script.

In a test, `with ModelServer(...) as server:` runs it on a thread; a benchmark starts it as a process:

    python -m tests.model_server --port 0 --latency-ms 50

which prints its URL as the first line. It is a stand-in for OpenAI and Azure only.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import random
import struct
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import orjson

__all__ = ["Fault", "Metered", "ModelServer", "Recorded", "Reply", "Trouble", "admitting", "echo", "storm"]


@dataclass(frozen=True)
class Recorded:
    """One request as it came over the wire."""

    method: str
    target: str
    """Path and query."""
    headers: Mapping[str, str]
    """Names in lower case."""
    body: Any
    """Parsed JSON, or `None`."""
    at: float
    """The server's monotonic clock."""


@dataclass(frozen=True)
class Fault:
    """What the next request gets in place of an answer."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    drop: bool = False
    """Close the connection without a byte."""
    cut_after: int | None = None
    """Send this many bytes of the answer's body (or stream events), then close."""
    stall_after: int | None = None
    """Send this many bytes of the answer's body (or stream events), then nothing more."""
    delay_s: float = 0.0
    """Wait this long before anything else."""

    @classmethod
    def error(cls, status: int, code: str | None, message: str, **headers: str) -> Fault:
        """An error in OpenAI's form; `retry_after_ms="20"` becomes the header `retry-after-ms`."""
        body = orjson.dumps({"error": {"message": message, "type": "invalid_request_error", "code": code}})
        return cls(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


Trouble = Callable[[Mapping[str, Any], float], "Fault | None"]
"""Of a request's JSON and the time, what it gets in place of an answer; `None` for an answer."""


def storm(share: float, seed: int, *, stalls: bool = True) -> Trouble:
    """Every fault that an endpoint can have and that trying again mends, for a share of the requests.

    Args:
        share: from 0 to 1.
        seed: of the choice.
        stalls: whether some answers stop coming, which a client notices at its own deadline only.
    """
    chance = random.Random(seed)
    message = {"error": {"message": "try again", "type": "server_error", "code": None}}
    said = orjson.dumps(message)
    faults = [
        Fault(429, said),
        Fault(429, said, {"retry-after": "0"}),
        Fault(429, said, {"retry-after-ms": "40"}),
        Fault(408, said),
        Fault(409, said),
        Fault(500, said),
        Fault(502, b"<html>bad gateway</html>", {"content-type": "text/html"}),
        Fault(503, said, {"retry-after-ms": "20"}),
        Fault(529, said, {"retry-after-ms": "20"}),
        Fault(drop=True),
        Fault(cut_after=0),
        Fault(cut_after=1),
        Fault(200, b'{"id": "chatcmpl-1", "choices": [{"index": 0, "mess'),
        Fault(200, b""),
        Fault(200, b'{"choices": []}'),
    ]
    if stalls:
        faults.append(Fault(stall_after=1))

    def trouble(body: Mapping[str, Any], now: float) -> Fault | None:
        return chance.choice(faults) if chance.random() < share else None

    return trouble


def admitting(
    rate: float,
    *,
    burst: float = 1.0,
    retry_after: bool = True,
    window: float = 0.0,
    says: str | None = None,
) -> Trouble:
    """Lets `rate` requests a second in; the others get a 429.

    Args:
        rate: requests a second.
        burst: how many seconds' worth the bucket holds that fills all the time.
        retry_after: whether a 429 says in whole seconds when to come back, as most endpoints do.
        window: instead of a bucket, `rate * window` requests in any stretch of so many seconds.
        says: how a 429 says when to come back, if not as `retry_after` has it: `seconds`, `ms` or `nothing`.
    """
    level, last = rate * burst, 0.0
    let_in: deque[float] = deque()
    says = says or ("seconds" if retry_after else "nothing")

    def trouble(body: Mapping[str, Any], now: float) -> Fault | None:
        nonlocal level, last
        if window:
            while let_in and let_in[0] <= now - window:
                let_in.popleft()
            level = rate * window - len(let_in)
            opens_s = let_in[0] + window - now if let_in else 0.0
        else:
            level = min(max(1.0, rate * burst), level + (now - (last or now)) * rate)
            opens_s = (1 - level) / rate
        last = now
        if level >= 1:
            level -= 1
            let_in.append(now)
            return None
        headers = {
            "seconds": {"retry-after": str(int(max(1.0, -(-opens_s // 1))))},
            "ms": {"retry-after-ms": str(int(1000 * opens_s) + 1)},
            "nothing": {},
        }[says]
        return Fault(429, _error("rate_limit_exceeded", "slow down"), headers)

    return trouble


class Metered:
    """OpenAI's limits: a bucket for a minute's requests that fills all the time, told of in each answer.

    Args:
        rate: requests a second.
        used: what share of the minute's requests is used up at the start.
    """

    def __init__(self, rate: float, *, used: float = 0.0) -> None:
        self.rate = rate
        self.size = rate * 60
        self.level = self.size * (1 - used)
        self.last: float | None = None

    def __call__(self, body: Mapping[str, Any], now: float) -> Fault | None:
        """Of a request and the time, a 429 or nothing."""
        self.level = min(
            self.size, self.level + (now - (now if self.last is None else self.last)) * self.rate
        )
        self.last = now
        if self.level >= 1:
            self.level -= 1
            return None
        wait = {"retry-after-ms": str(int(1000 * (1 - self.level) / self.rate) + 1)}
        return Fault(429, _error("rate_limit_exceeded", "slow down"), {**self.headers(), **wait})

    def headers(self) -> dict[str, str]:
        """What an answer says of the limit."""
        return {
            "x-ratelimit-limit-requests": f"{self.size:.0f}",
            "x-ratelimit-remaining-requests": f"{int(self.level)}",
            "x-ratelimit-reset-requests": f"{(self.size - self.level) / self.rate:.3f}s",
        }


@dataclass(frozen=True)
class Reply:
    """One answer of a script, where plain text does not say enough."""

    content: str | None = None
    finish_reason: str = "stop"
    refusal: str | None = None
    tool_calls: Sequence[Mapping[str, Any]] | None = None
    function_call: Mapping[str, Any] | None = None


Answer = Callable[[Mapping[str, Any]], "str | Reply"]


def echo(body: Mapping[str, Any]) -> str:
    """The last message, or the prompt, given back."""
    messages = body.get("messages")
    if messages:
        content = messages[-1].get("content")
        return f"echo: {content}" if isinstance(content, str) else f"echo: {len(content or [])} parts"
    return f"echo: {body.get('prompt')}"


class ModelServer:
    """The endpoint.

    Args:
        answer: the text of every answer, or a function of the request's JSON.
        latency_s: how long a request waits for its answer; for a stream, for its first event.
        faults: what the first requests get instead, in order.
        record: whether `requests` is kept.
        api_key: the key to ask for; `None` asks for none.
        gap_s: how long a stream waits between two events.
        float_embeddings: answer embeddings as floats even where base64 was asked for, as some servers do.
        trouble: which requests get a fault, once `faults` are used up.
    """

    def __init__(
        self,
        answer: str | Reply | Answer = echo,
        *,
        latency_s: float = 0.0,
        faults: Sequence[Fault] = (),
        record: bool = True,
        api_key: str | None = None,
        gap_s: float = 0.0,
        float_embeddings: bool = False,
        trouble: Trouble | None = None,
    ) -> None:
        self.answer: Answer = answer if callable(answer) else (lambda body: answer)
        self.latency_s = latency_s
        self.faults = deque(faults)
        self.record = record
        self.api_key = api_key
        self.gap_s = gap_s
        self.float_embeddings = float_embeddings
        self.trouble = trouble
        self.faulty = 0
        """Requests that got a fault."""
        self.hung_up = 0
        """Requests whose client was gone before the answer."""
        self.requests: list[Recorded] = []
        self.count = 0
        self.in_flight = 0
        self.most_in_flight = 0
        self.port = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`; OpenAI's paths are under `/v1`, Azure's under `/openai`."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """What an `open_ai` connection takes as its `base_url`."""
        return f"{self.url}/v1"

    def __enter__(self) -> ModelServer:
        ready = threading.Event()

        def run() -> None:
            with asyncio.Runner() as runner:
                self._loop = runner.get_loop()
                runner.run(self._serve(0, ready.set))

        self._thread = threading.Thread(target=run, name="model-server", daemon=True)
        self._thread.start()
        if not ready.wait(60):
            raise TimeoutError("the model server did not start")
        return self

    def __exit__(self, *exc: object) -> None:
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(60)

    async def _serve(self, port: int, ready: Callable[[], object]) -> None:
        self._stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        open_now: set[_Conversation] = set()
        server = await loop.create_server(
            lambda: _Conversation(self, open_now), "127.0.0.1", port, backlog=1024
        )
        self.port = server.sockets[0].getsockname()[1]
        ready()
        await self._stop.wait()
        server.close()
        for conversation in list(open_now):
            conversation.transport.abort()
        await server.wait_closed()


class _Conversation(asyncio.Protocol):
    """One kept-alive connection."""

    transport: asyncio.Transport

    def __init__(self, server: ModelServer, open_now: set[_Conversation]) -> None:
        self.server = server
        self.open_now = open_now
        self.loop = asyncio.get_running_loop()
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.open_now.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.open_now.discard(self)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].decode("latin-1").split("\r\n")
            headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in head[1:])}
            length = int(headers.get("content-length", 0))
            if len(self.buffer) < end + 4 + length:
                return
            payload = self.buffer[end + 4 : end + 4 + length]
            self.buffer = self.buffer[end + 4 + length :]
            method, target, _ = head[0].split(" ", 2)
            self.request(method, target, headers, payload)

    def request(self, method: str, target: str, headers: Mapping[str, str], payload: bytes) -> None:
        server = self.server
        body = orjson.loads(payload) if payload else None
        server.count += 1
        server.in_flight += 1
        server.most_in_flight = max(server.most_in_flight, server.in_flight)
        if server.record:
            server.requests.append(Recorded(method, target, headers, body, self.loop.time()))
        fault = server.faults.popleft() if server.faults else None
        if fault is None and server.trouble is not None and body is not None:
            fault = server.trouble(body, self.loop.time())
        server.faulty += fault is not None
        wait = (fault.delay_s if fault else 0.0) or server.latency_s
        if wait:
            self.loop.call_later(wait, self.respond, target, headers, body, fault)
        else:
            self.respond(target, headers, body, fault)

    def respond(self, target: str, headers: Mapping[str, str], body: Any, fault: Fault | None) -> None:
        self.server.in_flight -= 1
        if self.transport.is_closing():
            self.server.hung_up += 1
            return
        if fault is not None and fault.drop:
            self.transport.abort()
        elif fault is not None and fault.cut_after is None and fault.stall_after is None:
            self.send(fault.status, fault.body, fault.headers)
        elif not self.admits(headers):
            text = f"Incorrect API key provided: {_key_of(headers)}."
            self.send(401, _error("invalid_api_key", text))
        else:
            status, answer = self.answer(urlsplit(target), body or {})
            cut = None if fault is None else fault.cut_after
            stall = None if fault is None else fault.stall_after
            if isinstance(answer, list):
                self.stream(answer, cut, stall)
            elif stall is not None:
                self.send(status, answer, stall=stall)
            else:
                trouble = self.server.trouble
                self.send(
                    status, answer, trouble.headers() if isinstance(trouble, Metered) else None, cut=cut
                )

    def admits(self, headers: Mapping[str, str]) -> bool:
        return self.server.api_key is None or _key_of(headers) == self.server.api_key

    def send(
        self,
        status: int,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        cut: int | None = None,
        stall: int | None = None,
    ) -> None:
        extra = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        kind = "" if headers and "content-type" in headers else "content-type: application/json\r\n"
        head = f"HTTP/1.1 {status} -\r\n{kind}content-length: {len(body)}\r\n"
        extra += f"x-request-id: req_{self.server.count}\r\n"
        self.transport.write(f"{head}{extra}\r\n".encode() + body[: cut if stall is None else stall])
        if cut is not None:
            self.transport.close()

    def stream(self, events: list[bytes], cut: int | None, stall: int | None = None) -> None:
        self.transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        chunks = [
            f"{len(event):x}\r\n".encode() + event + b"\r\n"
            for event in events[: cut if stall is None else stall]
        ]
        if cut is None and stall is None:
            chunks.append(b"0\r\n\r\n")
        for index, chunk in enumerate(chunks):
            if self.server.gap_s:
                self.loop.call_later(index * self.server.gap_s, self.transport.write, chunk)
            else:
                self.transport.write(chunk)
        if cut is not None:  # later, so that the client has seen the events when the connection breaks
            self.loop.call_later(0.05 + len(chunks) * self.server.gap_s, self.transport.close)

    def answer(self, url: Any, body: Mapping[str, Any]) -> tuple[int, bytes | list[bytes]]:
        path = url.path
        if path.startswith("/openai/deployments/"):
            if "api-version" not in parse_qs(url.query):
                return 404, _error("404", "Resource not found")
            deployment, _, operation = path.removeprefix("/openai/deployments/").partition("/")
            body = {**body, "model": unquote(deployment)}
            path = f"/v1/{operation}"
        operation = path.removeprefix("/openai").removeprefix("/v1")
        if operation == "/chat/completions":
            return 200, _chat(self.server.answer(body), body)
        if operation == "/completions":
            return 200, _completion(self.server.answer(body), body)
        if operation == "/embeddings":
            return 200, _embeddings(body, floats=self.server.float_embeddings)
        if operation == "/models":
            return 200, orjson.dumps({"object": "list", "data": [{"id": "scripted", "object": "model"}]})
        if path == "/msi/token":  # App Service's managed identity endpoint, as azure-identity asks it
            token = {"access_token": "entra-token", "expires_on": "4102444800", "token_type": "Bearer"}
            return 200, orjson.dumps({**token, "resource": "x"})
        return 404, _error("unknown_url", f"Unknown request URL: {path}")


def _key_of(headers: Mapping[str, str]) -> str:
    return headers.get("api-key") or headers.get("authorization", "").removeprefix("Bearer ")


def _error(code: str, message: str) -> bytes:
    return orjson.dumps({"error": {"message": message, "type": "invalid_request_error", "code": code}})


def _count(body: Mapping[str, Any]) -> int:
    messages = body.get("messages") or [{"content": body.get("prompt") or ""}]
    return sum(len(str(m.get("content") or "").split()) for m in messages)


def _usage(body: Mapping[str, Any], text: str) -> dict[str, int]:
    asked, said = _count(body), len(text.split())
    return {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}


def _envelope(kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": kind,
        "created": 1_700_000_000,
        "model": body.get("model") or "scripted",
    }


def _chat(said: str | Reply, body: Mapping[str, Any]) -> bytes | list[bytes]:
    reply = Reply(said) if isinstance(said, str) else said
    message: dict[str, Any] = {"role": "assistant", "content": reply.content, "refusal": reply.refusal}
    if reply.tool_calls is not None:
        message["tool_calls"] = list(reply.tool_calls)
    if reply.function_call is not None:
        message["function_call"] = dict(reply.function_call)
    usage = _usage(body, reply.content or "")
    if not body.get("stream"):
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reply.finish_reason}
        return orjson.dumps({**_envelope("chat.completion", body), "choices": [choice], "usage": usage})
    envelope = _envelope("chat.completion.chunk", body)
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": part} for part in _parts(reply.content or "")]
    if reply.refusal:
        deltas.append({"refusal": reply.refusal})
    events = [{**envelope, "choices": [{"index": 0, "delta": d, "finish_reason": None}]} for d in deltas]
    events.append({**envelope, "choices": [{"index": 0, "delta": {}, "finish_reason": reply.finish_reason}]})
    if (body.get("stream_options") or {}).get("include_usage"):
        events.append({**envelope, "choices": [], "usage": usage})
    return [_event(orjson.dumps(event)) for event in events] + [_event(b"[DONE]")]


def _completion(said: str | Reply, body: Mapping[str, Any]) -> bytes | list[bytes]:
    reply = Reply(said) if isinstance(said, str) else said
    text, envelope = reply.content or "", _envelope("text_completion", body)
    if not body.get("stream"):
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": reply.finish_reason}
        return orjson.dumps({**envelope, "choices": [choice], "usage": _usage(body, text)})
    events = [
        {**envelope, "choices": [{"index": 0, "text": part, "finish_reason": None}]} for part in _parts(text)
    ]
    events.append({**envelope, "choices": [{"index": 0, "text": "", "finish_reason": reply.finish_reason}]})
    if (body.get("stream_options") or {}).get("include_usage"):
        events.append({**envelope, "choices": [], "usage": _usage(body, text)})
    return [_event(orjson.dumps(event)) for event in events] + [_event(b"[DONE]")]


def _parts(text: str) -> list[str]:
    words = text.split(" ")
    return [word if i == 0 else f" {word}" for i, word in enumerate(words)] if text else []


def _event(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"


def _embeddings(body: Mapping[str, Any], *, floats: bool) -> bytes:
    texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
    data = []
    for index, text in enumerate(texts):
        vector = [float(len(text)), 0.5, -0.25]
        packed = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
        as_base64 = body.get("encoding_format") == "base64" and not floats
        data.append({"object": "embedding", "index": index, "embedding": packed if as_base64 else vector})
    tokens = sum(len(str(t).split()) for t in texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return orjson.dumps({"object": "list", "data": data, "model": body.get("model"), "usage": usage})


def main() -> None:
    """Run the endpoint as a process until it is stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--answer", help="the text of every answer; default: the last message, echoed")
    parser.add_argument("--admit", type=float, metavar="RATE", help="requests a second that are let in")
    parser.add_argument("--burst", type=float, default=1.0, help="seconds' worth of them in a bucket")
    parser.add_argument("--no-retry-after", action="store_true", help="do not say when to come back")
    parser.add_argument("--faults", type=float, metavar="SHARE", help="the share of requests that fail")
    parser.add_argument("--seed", type=int, default=1, help="of the faults")
    arguments = parser.parse_args()
    trouble: Trouble | None = None
    if arguments.admit:
        trouble = admitting(arguments.admit, burst=arguments.burst, retry_after=not arguments.no_retry_after)
    elif arguments.faults:
        trouble = storm(arguments.faults, arguments.seed)
    server = ModelServer(
        echo if arguments.answer is None else arguments.answer,
        latency_s=arguments.latency_ms / 1000,
        record=False,
        trouble=trouble,
    )
    try:
        asyncio.run(server._serve(arguments.port, lambda: print(server.url, flush=True)))
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    main()
