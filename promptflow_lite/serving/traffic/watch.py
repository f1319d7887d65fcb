"""Who is told of a request after its answer? The collector and traces of a sample, by one draw for both."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from promptflow_lite.engine.results import LineResult
from promptflow_lite.serving.call import Call
from promptflow_lite.serving.deployment import Deployment
from promptflow_lite.serving.traffic.seen import Seen

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
        rate = self._rate_of(deployment.name) if self._takers else 0.0
        is_drawn = rate > 0 and random.random() < rate  # noqa: S311  no secret
        takers = (self._takers if is_drawn else ()) + self._always
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
        for take in takers:
            try:
                take(seen)
            except Exception:  # a plugin's: what watches requests must not fail one
                _log.exception("a request was not taken note of")

    def rated(self, feedback: Mapping[str, Any]) -> None:
        """Somebody said how good an answer was; may wait."""
        for tell in self._feedback:
            tell(feedback)

    def close(self) -> None:
        """Let all of them write what they have; may wait."""
        for taker in (*self._takers, *self._always):
            taker.close()
