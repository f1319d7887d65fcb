"""Which deployments serve? Those that are wanted, once they are ready; the others finish and go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from promptflow_lite.errors import PromptflowError
from promptflow_lite.serving.deployment import flow_of
from promptflow_lite.serving.endpoints.logs import Log
from promptflow_lite.serving.endpoints.remote import Remote
from promptflow_lite.serving.endpoints.spec import DeploymentSpec, EndpointSpec
from promptflow_lite.serving.endpoints.split import Split
from promptflow_lite.serving.endpoints.store import Kept

__all__ = ["Fleet"]

_OTHERS_S = 10.0
"""What a deployment without traffic may hold up the start of the service."""
_GRACE_OF_RETIRED_S = 600.0
"""What a deployment that was replaced may still take for what it runs; a request's own limit comes first."""


class Fleet:
    """The deployments of an endpoint, each in processes of its own.

    Args:
        kept: the endpoint.
        split: is given those that serve.
        group: whose tasks start them and let them go.
        log_of: the log of a deployment by its name.
        say: is told what a person should know.
        changed: called when one of them comes, goes or fails.
    """

    def __init__(
        self,
        kept: Kept,
        split: Split,
        group: asyncio.TaskGroup,
        *,
        log_of: Callable[[str], Log],
        say: Callable[[str], None],
        changed: Callable[[], None],
    ) -> None:
        self._kept = kept
        self._split = split
        self._group = group
        self._log_of = log_of
        self._say = say
        self._changed = changed
        self._failed: dict[str, dict[str, Any]] = {}
        """Deployments that do not start, by name: their revision, and why."""
        self._starting: dict[str, tuple[int, asyncio.Task[None]]] = {}
        """Those that are being started, by name: their revision, and what starts them."""
        self._leaving: set[Remote] = set()

    def take(self, spec: EndpointSpec) -> None:
        """Have the deployments of `spec` serve, sooner or later, and no others."""
        self._split.take(spec)
        for name in [*self._split.deployments]:
            if name not in spec.deployments:
                self._retire(self._split.drop(name))
        for name in [*self._starting]:
            if name not in spec.deployments:
                self._starting.pop(name)[1].cancel()
        for name in [*self._failed]:
            if (
                name not in spec.deployments
                or self._failed[name]["revision"] != spec.deployments[name].revision
            ):
                del self._failed[name]
        for deployment in spec.deployments.values():
            self._follow(deployment)

    async def settled(self) -> None:
        """Wait until the deployments with traffic serve or have failed to; for others not as long."""
        with_traffic = [t for name, (_, t) in self._starting.items() if self._split.spec.traffic.get(name)]
        if with_traffic:
            await asyncio.wait(with_traffic)
        others = [task for _, task in self._starting.values()]
        if others:
            await asyncio.wait(others, timeout=_OTHERS_S)

    def states(self, spec: EndpointSpec) -> dict[str, dict[str, Any]]:
        """How each deployment of `spec` is, by name."""
        return {name: self._state(deployment) for name, deployment in spec.deployments.items()}

    def _state(self, deployment: DeploymentSpec) -> dict[str, Any]:
        if deployment.name in self._failed:
            return self._failed[deployment.name]
        remote = self._split.get(deployment.name)
        if remote is not None and remote.spec.revision == deployment.revision:
            return remote.status()
        return _state_without(deployment, "Starting")

    async def close(self) -> None:
        """End all of them."""
        for _, task in self._starting.values():
            task.cancel()
        await self._split.close()
        for remote in [*self._leaving]:
            await remote.close()

    def _follow(self, wanted: DeploymentSpec) -> None:
        """Have the wanted revision of a deployment serve, sooner or later."""
        name, serving = wanted.name, self._split.get(wanted.name)
        starting = self._starting.get(name)
        if starting is not None and starting[0] != wanted.revision:
            self._starting.pop(name)[1].cancel()
            starting = None
        is_there = serving is not None and serving.spec.revision == wanted.revision
        if not is_there and starting is None and name not in self._failed:
            self._starting[name] = (wanted.revision, self._group.create_task(self._start(wanted)))

    async def _start(self, wanted: DeploymentSpec) -> None:
        """Start a deployment, and let it take the place of the one of its name."""
        name = wanted.name
        log = self._log_of(name)
        remote = None
        try:
            flow = await asyncio.to_thread(
                flow_of,
                wanted.source,
                variants=wanted.variants,
                environment_variables=wanted.environment_variables,
                init=wanted.init,
            )
            remote = Remote(wanted, flow, log, self._changed)
            await remote.start(self._group)
        except asyncio.CancelledError:
            if remote is not None:
                self._retire(remote)
            raise
        except PromptflowError as error:
            self._say(f"deployment {name!r} does not start:\n{error}")
            log.note(f"deployment {name!r} does not start: {error}")
            if remote is not None:
                self._retire(remote)
            self._failed[name] = _state_without(wanted, "Failed", str(error))
        else:
            self._retire(self._split.put(remote))
        if self._starting.get(name, (0,))[0] == wanted.revision:
            del self._starting[name]
        self._changed()

    def _retire(self, remote: Remote | None) -> None:
        if remote is not None:
            self._leaving.add(remote)
            self._group.create_task(self._let_go(remote))

    async def _let_go(self, remote: Remote) -> None:
        await remote.retire(_GRACE_OF_RETIRED_S)
        self._leaving.discard(remote)
        wanted = self._split.spec.deployments.values()
        used = [d.source for d in wanted] + [other.spec.source for other in self._leaving]
        await asyncio.to_thread(self._kept.sweep, used)


def _state_without(deployment: DeploymentSpec, state: str, message: str = "") -> dict[str, Any]:
    """What can be said of a deployment that has no process."""
    return {
        "revision": deployment.revision,
        "state": state,
        "message": message,
        "processes": [],
        "restarts": 0,
    }
