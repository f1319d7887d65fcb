"""What does `pf flow build --format docker` make of a flow? A folder to build an image of."""

from __future__ import annotations

from typing import Any

from promptflow_lite.errors import UserError
from promptflow_lite.packaging.folder import made
from promptflow_lite.packaging.formats import Asked, Built
from promptflow_lite.packaging.gather import Part
from promptflow_lite.packaging.image import PORT, Image

__all__ = ["build"]


def build(asked: Asked) -> Built:
    """Write the folder.

    Raises:
        UserError: no folder is named, it is in use, or the flow cannot be packed.
    """
    output, flow = asked.output, asked.flow
    if output is None:
        raise UserError("which folder shall be made? Say --output DIR", code="missing-option")
    if asked.register is not None:
        hint = "--format mlflow makes a model that a registry keeps"
        raise UserError("--register: an image's folder is no model", code="bad-option", hint=hint)
    about: dict[str, Any] = {"format": "docker", "name": flow.name}
    with made(output, about) as folder:
        image = Image(
            folder,
            connections=asked.connections,
            model=asked.model,
            wheel=asked.wheel,
            besides=output.resolve(),
            say=asked.say,
        )
        (source,) = image.fill(flow.name, [Part(flow=flow, overrides=asked.overrides)])
        about |= {"source": source, **image.about()}
        image.finish(flow.name, [*_command(source), *_chosen(asked)])
    size = image.pins.bytes / 1e6
    image.notes.append(f"{len(image.pins.lines)} packages, {size:.0f} MB as they are installed here")
    return Built(str(output), about, image.notes, [f"docker build --tag {image.tag(flow.name)} {output}"])


def _command(source: str) -> list[str]:
    named = source.rpartition("/")[0] if source.endswith(("/flow.dag.yaml", "/flow.flex.yaml")) else source
    return ["pf", "flow", "serve", "--source", named, "--host", "0.0.0.0", "--port", str(PORT)]  # noqa: S104  a container's own


def _chosen(asked: Asked) -> list[str]:
    changes = [
        f"{node}.{key}={value}" for node, fields in asked.overrides.items() for key, value in fields.items()
    ]
    variant = ["--variant", asked.variant] if asked.variant else []
    return [*variant, *(["--connections", *changes] if changes else [])]
