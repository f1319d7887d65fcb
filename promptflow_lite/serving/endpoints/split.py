"""Who answers a request of an endpoint? Whom it names, whom its session has, or who is drawn."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from time import monotonic, perf_counter
from typing import Any

from promptflow_lite.engine.events import Emit, ignore
from promptflow_lite.engine.results import LineResult
from promptflow_lite.serving.deployment import Deployment, ask_by_header
from promptflow_lite.serving.endpoints.mirror import Mirror
from promptflow_lite.serving.endpoints.observed import Observing
from promptflow_lite.serving.endpoints.remote import Remote
from promptflow_lite.serving.endpoints.rollout import Record
from promptflow_lite.serving.endpoints.spec import EndpointSpec
from promptflow_lite.serving.endpoints.traffic import pick, point_of
from promptflow_lite.serving.refusal import Refusal, of_failure

__all__ = ["Split"]

TooBad = Callable[[str, Record], None]


class Split:
    """An endpoint of several deployments, as `serving.app` asks for it.

    Args:
        spec: how requests are split.
        mirror: copies requests.
        too_bad: called when a deployment fails more often than the roll-out allows.
    """

    def __init__(
        self, spec: EndpointSpec, mirror: Mirror, too_bad: TooBad = lambda name, record: None
    ) -> None:
        self.name = spec.name
        self.mirror = mirror
        self.observing = Observing()
        self._too_bad = too_bad
        self._serving: dict[str, Remote] = {}
        self._records: dict[str, Record] = {}
        self._listed: dict[str, Deployment] = {}
        self.take(spec)

    def take(self, spec: EndpointSpec) -> None:
        """Split the requests in this way from now on."""
        self.spec = spec
        # In the order of the deployments, not of who typed the percents: sessions stay where they are.
        self._traffic = {name: spec.traffic[name] for name in spec.deployments if spec.traffic.get(name)}
        self._mirrored = next(((n, p) for n, p in spec.mirror_traffic.items() if p), None)
        self._header = spec.affinity.header.lower().encode() if spec.affinity else None
        for name in [*self._records]:
            if spec.rollout is None or not self._traffic.get(name):
                del self._records[name]  # whoever gets traffic again is judged anew
        self._list()

    def put(self, remote: Remote) -> Remote | None:
        """Let a deployment serve; the one of its name that served until now."""
        before = self._serving.get(remote.name)
        self._serving[remote.name] = remote
        self._records.pop(remote.name, None)
        self._list()
        return before

    def drop(self, name: str) -> Remote | None:
        """Let a deployment serve no longer; it."""
        before = self._serving.pop(name, None)
        self._list()
        return before

    def get(self, name: str) -> Remote | None:
        """The deployment of that name that serves."""
        return self._serving.get(name)

    @property
    def deployments(self) -> Mapping[str, Deployment]:
        """Those that serve, the one with the most traffic first."""
        return self._listed

    def _list(self) -> None:
        names = sorted(self._serving, key=lambda name: -self._traffic.get(name, 0))
        self._listed = {name: self._serving[name] for name in names}

    def choose(self, headers: Mapping[bytes, bytes], model: str | None = None) -> Deployment:
        """The deployment for a request.

        Raises:
            Refusal: 404, no deployment is named so; 503, none takes traffic, or it is being started.
        """
        asked = ask_by_header(self.deployments, headers, None if model == self.name else model)
        if asked is not None:
            return _Chosen(self, self._serving[asked.name], by_name=True)
        return _Chosen(self, self.draw(headers), by_name=False)

    def draw(self, headers: Mapping[bytes, bytes]) -> Remote:
        """The deployment that the split says.

        Raises:
            Refusal: 503, there is none, or it is being started.
        """
        session = headers.get(self._header) if self._header is not None else None
        point = point_of(session, self.name) if session else random.random() * 100  # noqa: S311  no secret
        name = pick(self._traffic, point)
        if name is None:
            raise Refusal(503, "no-deployment", "no deployment of this endpoint takes traffic")
        remote = self._serving.get(name)
        if remote is None:
            message = f"deployment {name!r} is not ready"
            raise Refusal(503, "deployment-unavailable", message, headers=[(b"retry-after", b"1")])
        return remote

    def reflect(self, chosen: str, inputs: Mapping[str, Any]) -> None:
        """Copy a request that was drawn for `chosen`, if it is one of those to be copied."""
        if self._mirrored is None:
            return
        name, percent = self._mirrored
        remote = self._serving.get(name)
        if remote is not None and name != chosen and random.random() * 100 < percent:  # noqa: S311  no secret
            self.mirror.send(remote, inputs)

    def judge(self, name: str, *, failed: bool) -> None:
        """Count an answer of a deployment, where the roll-out has limits."""
        if self.spec.rollout is None or not self._traffic.get(name):
            return
        record = self._records.setdefault(name, Record(self.spec.rollout))
        record.count(failed=failed, now=monotonic())
        if record.is_too_bad:
            self._too_bad(name, record)

    async def close(self) -> None:
        """End all deployments."""
        await self.mirror.close()
        for name in [*self._serving]:
            remote = self.drop(name)
            if remote is not None:
                await remote.close()


class _Chosen:
    """The deployment that was chosen for one request; who has its name when the request is read, answers."""

    def __init__(self, split: Split, remote: Remote, *, by_name: bool) -> None:
        self.name = remote.name
        self.flow = remote.flow
        self.gate = remote.gate
        self._split = split
        self._by_name = by_name

    async def answer(
        self, inputs: Mapping[str, Any], *, stream: bool = False, whole: bool = False, emit: Emit = ignore
    ) -> LineResult:
        """As `Remote.answer`."""
        split = self._split
        remote = split.get(self.name)
        if remote is None and self._by_name:
            raise Refusal(404, "deployment-not-found", f"no deployment is named {self.name!r} any more")
        remote = remote or split.draw({})
        if not self._by_name:
            split.reflect(remote.name, inputs)
        began = perf_counter()
        try:
            line = await remote.answer(inputs, stream=stream, whole=whole, emit=emit)
        except (Refusal, RuntimeError) as error:
            self._count(
                remote.name, failed=not isinstance(error, Refusal) or error.status >= 500, began=began
            )
            raise
        failed = line.error is not None and of_failure(line.error).status >= 500
        self._count(remote.name, failed=failed, began=began)
        return line

    def _count(self, name: str, *, failed: bool, began: float) -> None:
        """Hold the answer against the roll-out; only who was drawn by lot can be compared."""
        observing = self._split.observing
        if observing.is_on and not self._by_name:
            observing.answered(name, failed=failed, seconds=perf_counter() - began)
        self._split.judge(name, failed=failed)

    async def close(self) -> None:
        """Nothing: the split closes its deployments."""
