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

__all__ = ["Audience", "Taker", "Traffic"]

_log = logging.getLogger("promptflow_lite.serving.traffic")


class Taker(Protocol):
    """Takes note of requests; it must not wait."""

    @property
    def wants_values(self) -> bool:
        """Whether it looks at what the nodes took and gave: another process tells that only if asked to."""
        ...

    def __call__(self, seen: Seen) -> None:
        """Take note of a request that was answered."""
        ...

    def close(self) -> None:
        """The server ends; may wait a few seconds."""
        ...


class Audience:
    """Those who are told of one request.

    Args:
        endpoint: its name.
        takers: who they are.
    """

    def __init__(self, endpoint: str, takers: Sequence[Taker]) -> None:
        self.is_empty = not takers
        self.whole = any(taker.wants_values for taker in takers)
        """Whether one of them looks at what the nodes took and gave."""
        self._endpoint = endpoint
        self._takers = tuple(takers)

    def answered(
        self, call: Call, deployment: Deployment, inputs: Mapping[str, Any], line: LineResult
    ) -> None:
        """The request was answered, well or not."""
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
        self._tell(seen)

    def copied(self, deployment: Deployment, inputs: Mapping[str, Any], line: LineResult) -> None:
        """The copy of a request was answered: a request of its own, of which nobody will say anything."""
        name, size = uuid.uuid4().hex, len(dumps(inputs))
        about = (self._endpoint, deployment.name, MIRRORED, name, None, deployment.flow)
        self._tell(Seen(time.time(), *about, inputs, line, size))

    def _tell(self, seen: Seen) -> None:
        for take in self._takers:
            try:
                take(seen)
            except Exception:  # a plugin's: what watches requests must not fail one
                _log.exception("a request was not taken note of")


class Traffic:
    """Tells those who want to know of requests.

    Args:
        endpoint: its name.
        takers: are told of the requests that are drawn.
        rate_of: which part of a deployment's requests that is, from 0 to 1.
        always: are told of every request, but not of copies.
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
        self._drawn = Audience(endpoint, [*takers, *always])
        self._always = Audience(endpoint, always)
        self._copies = Audience(endpoint, takers)
        self._everybody = (*takers, *always)
        self._rate_of = rate_of
        self._feedback = tuple(feedback)

    def draw(self, deployment: Deployment) -> Audience | None:
        """Those who shall be told of the next request; drawn before it runs, for what they want to see."""
        audience = self._drawn if self._is_drawn(deployment) else self._always
        return None if audience.is_empty else audience

    def draw_copy(self, deployment: Deployment) -> Audience | None:
        """Those who shall be told of the next copy of a request."""
        return self._copies if self._is_drawn(deployment) else None

    def _is_drawn(self, deployment: Deployment) -> bool:
        rate = 0.0 if self._copies.is_empty else self._rate_of(deployment.name)
        return rate > 0 and random.random() < rate  # noqa: S311  no secret

    def rated(self, feedback: Mapping[str, Any]) -> None:
        """Somebody said how good an answer was; may wait."""
        for tell in self._feedback:
            tell(feedback)

    def close(self) -> None:
        """Let all of them write what they have; may wait."""
        for taker in self._everybody:
            taker.close()
