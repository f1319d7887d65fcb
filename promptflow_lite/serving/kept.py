"""How is an endpoint kept, of whatever kind? In a folder: its state, its keys, its copies of flows.

The state is one file, so that every change is one step: a reader sees it before or after.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

from promptflow_lite.errors import UserError, near_miss
from promptflow_lite.flow.spec import Flow
from promptflow_lite.runs.disk import DISK
from promptflow_lite.runs.lock import hold, holder
from promptflow_lite.runs.records import pretty

__all__ = ["Folder", "Spec", "no_deployment"]

_LEFT_OUT = shutil.ignore_patterns(
    ".git", ".promptflow", "__pycache__", ".venv", "venv", "node_modules", "mlruns", "mlartifacts"
)

_FRESH_S = 600.0


class Spec(Protocol):
    """What an endpoint of any kind says of itself."""

    @property
    def name(self) -> str:
        """Of the endpoint."""
        ...

    @property
    def auth_mode(self) -> str:
        """`key` or `none`."""
        ...

    @property
    def change(self) -> int:
        """Counts the changes."""
        ...

    @property
    def deployments(self) -> Mapping[str, Any]:
        """Its deployments by name."""
        ...

    def to_json(self) -> dict[str, Any]:
        """The endpoint as it is kept."""
        ...

    @classmethod
    def of_json(cls, body: Mapping[str, Any]) -> Self:
        """An endpoint as it was kept."""
        ...


_Spec = TypeVar("_Spec", bound=Spec)


class Folder(ABC, Generic[_Spec]):
    """One endpoint's folder."""

    spec: type[_Spec]

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = folder.name

    @property
    def state(self) -> Path:
        """The file of the spec."""
        return self.folder / "endpoint.json"

    @property
    def keys(self) -> Path:
        """The file of the hashed keys."""
        return self.folder / "keys"

    @property
    def status(self) -> Path:
        """What the process that serves it says of itself."""
        return self.folder / "status.json"

    @abstractmethod
    def check(self, changed: _Spec) -> None:
        """Refuse what an endpoint of this kind cannot become.

        Raises:
            UserError: it cannot be so.
        """

    def read(self) -> _Spec:
        """The endpoint as it is now.

        Raises:
            UserError: the file is damaged.
        """
        try:
            return self.spec.of_json(json.loads(self.state.read_bytes()))
        except (ValueError, TypeError, AttributeError) as error:
            raise UserError(f"{self.state}: damaged: {error}", code="damaged-endpoint") from error

    def change(self, how: Callable[[_Spec], _Spec]) -> _Spec:
        """The endpoint after a change, which is kept; one change at a time.

        Args:
            how: gives the changed endpoint of the present one.

        Raises:
            UserError: it cannot be so, as `check` says; nothing is changed.
        """
        with self._alone():
            now = self.read()
            changed = how(now)
            self.check(changed)
            body = {**changed.to_json(), "change": now.change + 1}
            self.write(body)
            return self.spec.of_json(body)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Wait for the others who change the endpoint."""
        handle = os.open(self.folder / "change", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def write(self, body: Mapping[str, Any]) -> None:
        """Keep the state, for the owner only: variables may hold secrets."""
        DISK.write_file(self.state, [pretty(body)])

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Be the one process that serves the endpoint.

        Raises:
            UserError: another one does (code `endpoint-busy`).
        """
        try:
            with hold(self.folder):
                try:
                    yield
                finally:
                    with suppress(OSError):
                        self.status.unlink()
        except UserError as error:
            if error.code != "run-busy":
                raise
            other = holder(self.folder)
            raise UserError(
                f"endpoint {self.name!r} is served by the process {other or '?'} already",
                code="endpoint-busy",
            ) from None

    def served(self) -> dict[str, Any] | None:
        """What the serving process says of itself; `None` where none serves."""
        if holder(self.folder) is None:
            return None
        try:
            found: dict[str, Any] = json.loads(self.status.read_bytes())
        except (OSError, ValueError):
            return {}
        return found

    def copy(self, flow: Flow, deployment: str) -> str:
        """The path of a copy of the flow, to load a deployment from: what is edited later is not deployed.

        The folder is copied whole, and what it includes in the same place beside it.
        """
        own = Path(flow.document.file).absolute()
        if not flow.document.file or not own.is_file():  # `module:function` of an installed package
            return flow.document.file
        home = self.place_for(deployment)
        parts = [flow.folder.resolve(), *((flow.folder / t).resolve() for t in flow.additional_includes)]
        root = Path(os.path.commonpath([part if part.is_dir() else part.parent for part in parts]))
        for part in parts:
            target = home / root.name / part.relative_to(root)
            if part.is_dir():
                shutil.copytree(
                    part, target, ignore=_LEFT_OUT, dirs_exist_ok=True, ignore_dangling_symlinks=True
                )
            elif part.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(part, target)
        home.chmod(0o700)
        return str(home / root.name / own.resolve().relative_to(root))

    def place_for(self, deployment: str) -> Path:
        """A new folder for what a deployment is loaded from; it is not made."""
        return self.folder / "flows" / f"{deployment}-{secrets.token_hex(4)}"

    def sweep(self, used: Iterable[str]) -> None:
        """Remove copies of flows that nothing is loaded from any more.

        Args:
            used: the sources of all deployments. A fresh copy is kept: whoever made it may not have said so.
        """
        flows = self.folder / "flows"
        paths = [Path(source) for source in used]
        for home in flows.iterdir() if flows.is_dir() else ():
            is_fresh = home.stat().st_mtime > time.time() - _FRESH_S
            if not is_fresh and not any(path.is_relative_to(home) for path in paths):
                shutil.rmtree(home, ignore_errors=True)


def no_deployment(spec: Spec, name: str, kind: str = "endpoint") -> UserError:
    """The error about a deployment that is not there.

    Args:
        spec: the endpoint.
        name: that was asked for.
        kind: of endpoint, for the message.
    """
    names = sorted(spec.deployments)
    exist = f"there are: {', '.join(names)}" if names else "there are none"
    return UserError(
        f"{kind} {spec.name!r} has no deployment {name!r}; {exist}",
        code="deployment-not-found",
        hint=near_miss(name, names),
    )
