"""What does `pf flow build --format docker` make of a flow? A folder to build an image of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from promptflow_lite.connections.store import Connections
from promptflow_lite.flow.spec import Flow
from promptflow_lite.packaging.folder import made
from promptflow_lite.packaging.image import PORT, Image, Part

__all__ = ["Built", "build"]


class Built(NamedTuple):
    """What was made."""

    about: dict[str, Any]
    notes: list[str]


def build(
    flow: Flow,
    output: Path,
    *,
    connections: Connections,
    model: str | None,
    variant: str | None = None,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    wheel: Path | None = None,
    say: Callable[[str], None],
) -> Built:
    """Write the folder.

    Args:
        flow: the flow, checked, its variant chosen.
        output: the folder; an earlier build there is replaced.
        connections: those of this home; their secrets stay here.
        model: the embedded model where a connection names none.
        variant: the variant that the container serves, as it is typed.
        overrides: of the nodes' connections.
        wheel: the wheel of this package to take along.
        say: is told what takes a while.

    Raises:
        UserError: the folder is in use, or the flow cannot be packed.
    """
    about: dict[str, Any] = {"format": "docker", "name": flow.name}
    with made(output, about) as folder:
        image = Image(
            folder, connections=connections, model=model, wheel=wheel, besides=output.resolve(), say=say
        )
        (source,) = image.fill(flow.name, [Part(flow=flow, overrides=overrides or {})])
        command = ["pf", "flow", "serve", "--source", _short(source)]
        command += ["--host", "0.0.0.0", "--port", str(PORT)]  # noqa: S104  a container's own
        command += ["--variant", variant] if variant else []
        changes = [
            f"{n}.{key}={value}" for n, fields in (overrides or {}).items() for key, value in fields.items()
        ]
        command += ["--connections", *changes] if changes else []
        image.finish(flow.name, command)
        about.update(image.about())
    return Built(about, image.notes)


def _short(source: str) -> str:
    """The flow's folder where that is enough to find it."""
    return source.rpartition("/")[0] if source.endswith(("/flow.dag.yaml", "/flow.flex.yaml")) else source
