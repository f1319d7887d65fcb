"""Who is told of a request after its answer? The collector and traces of a sample, by one draw for both."""

from __future__ import annotations

import logging
import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from promptflow_lite.engine.results import LineResult
from promptflow_lite.serving.call import Call
from promptflow_lite.serving.deployment import Deployment
from promptflow_lite.serving.reply import dumps
from promptflow_lite.serving.traffic.seen import MIRRORED, Seen

__all__ = ["Taker", "Traffic"]

_log = logging.getLogger("promptflow_lite.serving.traffic")


class Taker(Protocol):
    """Takes note of requests; it must not wait."""

    def __call__(self, seen: Seen) -> None:
        """Take note of a request that was answered."""
        ...

    def close(self) -> None:
        """The server ends; may wait a few seconds."""
        ...


class Traffic:
    """Tells those who want to know of requests.

    Args:
        endpoint: its name.
        takers: are told of the requests that are drawn.
        rate_of: which part of a deployment's requests that is, from 0 to 1.
        always: are told of every request.
        feedback: are told of what people say of an answer.
    """

    def __init__(
        self,
        endpoint: str,
        takers: Sequence[Taker],
        rate_of: Callable[[str], float],
        *,
        always: Sequence[Taker] = (),
        feedback: Sequence[Callable[[Mapping[str, Any]], None]] = (),
    ) -> None:
        self._endpoint = endpoint
        self._takers = tuple(takers)
        self._rate_of = rate_of
        self._always = tuple(always)
        self._feedback = tuple(feedback)

    def answered(
        self, call: Call, deployment: Deployment, inputs: Mapping[str, Any], line: LineResult
    ) -> None:
        """A request was answered, well or not."""
        takers = (self._takers if self._is_drawn(deployment) else ()) + self._always
        if not takers:
            return
        seen = Seen(
            time.time(),
            self._endpoint,
            deployment.name,
            call.path,
            call.request_id,
            None if call.traceparent is None else call.traceparent.decode(),
            deployment.flow,
            inputs,
            line,
            call.size,
        )
        _tell(takers, seen)

    def mirrored(self, deployment: Deployment, inputs: Mapping[str, Any], line: LineResult) -> None:
        """The copy of a request was answered: a request of its own, of which nobody will say anything.

        Those who are told of every request are not told of copies.
        """
        if self._is_drawn(deployment):
            name, size = uuid.uuid4().hex, len(dumps(inputs))
            about = (self._endpoint, deployment.name, MIRRORED, name, None, deployment.flow)
            _tell(self._takers, Seen(time.time(), *about, inputs, line, size))

    def _is_drawn(self, deployment: Deployment) -> bool:
        rate = self._rate_of(deployment.name) if self._takers else 0.0
        return rate > 0 and random.random() < rate  # noqa: S311  no secret

    def rated(self, feedback: Mapping[str, Any]) -> None:
        """Somebody said how good an answer was; may wait."""
        for tell in self._feedback:
            tell(feedback)

    def close(self) -> None:
        """Let all of them write what they have; may wait."""
        for taker in (*self._takers, *self._always):
            taker.close()


def _tell(takers: Sequence[Taker], seen: Seen) -> None:
    for take in takers:
        try:
            take(seen)
        except Exception:  # a plugin's: what watches requests must not fail one
            _log.exception("a request was not taken note of")
