"""What does `pf endpoint build` make of an endpoint.yml? An image's folder, and the file that runs it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from promptflow_lite.connections.store import Connections
from promptflow_lite.errors import Diagnostic, FlowError
from promptflow_lite.packaging import compose, kubernetes
from promptflow_lite.packaging.folder import made
from promptflow_lite.packaging.formats import Built
from promptflow_lite.packaging.gather import Part
from promptflow_lite.packaging.image import PORT, Image
from promptflow_lite.packaging.yaml import text_of
from promptflow_lite.serving.deployment import flow_of
from promptflow_lite.serving.endpoints import files
from promptflow_lite.serving.endpoints.files import Asked
from promptflow_lite.serving.models import fetch

__all__ = ["FILE", "Options", "build"]

FILE = "endpoint.yml"
"""The endpoint's file in the image."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How an endpoint is packed."""

    output: Path
    form: Literal["docker", "compose", "kubernetes"]
    connections: Connections
    say: Callable[[str], None]
    image: str | None = None
    """What the image is called; default: the endpoint's name."""
    model: str | None = None
    wheel: Path | None = None


def build(file: Path, options: Options) -> Built:
    """Write the folder.

    Args:
        file: an endpoint.yml with its deployments.
        options: how.

    Raises:
        FlowError: everything that is wrong with the file or a flow.
        UserError: the folder is in use, or a flow cannot be packed.
    """
    asked, inner = files.endpoint(file, {})
    name = _checked(asked, inner)
    about: dict[str, Any] = {"format": options.form, "name": name}
    with tempfile.TemporaryDirectory(prefix="promptflow_lite-") as fetched:
        parts, pinned = _parts(inner, Path(fetched))
        with made(options.output, about) as folder:
            image = Image(
                folder,
                connections=options.connections,
                model=options.model,
                wheel=options.wheel,
                besides=options.output.resolve(),
                say=options.say,
            )
            sources = image.fill(name, parts)
            body = _body(asked, inner, sources)
            image.notes += [*_told(asked, inner), *pinned]
            asks = body.get("auth_mode", "key") == "key"
            command = ["pf", "flow", "serve", "--source", FILE, "--host", "0.0.0.0", "--port", str(PORT)]  # noqa: S104  a container's own
            (folder / FILE).write_text(text_of(_HEAD, body), encoding="utf-8")
            image.finish(name, command, asks_for_key=asks)
            called = options.image or image.tag(name)
            plan = image.plan(name, called, processes=_processes(inner), asks_for_key=asks)
            following = _write(folder, options, plan, text_of(_HEAD, body))
            about |= image.about()
    return Built(str(options.output), about, image.notes, following)


_HEAD = "The endpoint of this image; flows start at its folder. Change the traffic here, and start it again."


def _write(folder: Path, options: Options, plan: Any, endpoint: str) -> list[str]:
    output = options.output
    if options.form == "compose":
        (folder / "compose.yaml").write_text(compose.text(plan, FILE), encoding="utf-8")
        return [
            f"cp {output}/.env.example {output}/.env   # and fill it in",
            f"docker compose --project-directory {output} up",
        ]
    if options.form == "kubernetes":
        (folder / "kubernetes.yaml").write_text(kubernetes.text(plan, FILE, endpoint), encoding="utf-8")
        return [
            f"docker build --tag {plan.image} {output} && docker push {plan.image}",
            kubernetes.secret_command(plan),
            f"kubectl apply --filename {output}/kubernetes.yaml",
        ]
    return [f"docker build --tag {plan.image} {output}"]


def _checked(asked: Asked, inner: Sequence[Asked]) -> str:
    if "name" not in asked.body:
        raise asked.refuse("name", "an endpoint needs a name", "missing-key")
    if not inner:
        hint = "deployments: [{name: blue, flow: ../my_flow}]"
        raise asked.refuse("deployments", "there is nothing to pack without deployments", "missing-key", hint)
    return str(asked.body["name"])


def _parts(inner: Sequence[Asked], fetched: Path) -> tuple[list[Part], list[str]]:
    """The flows, those of models fetched; every complaint about them at once."""
    parts: list[Part] = []
    notes: list[str] = []
    wrong: list[Diagnostic] = []
    for one in inner:
        body, name = one.body, str(one.body["name"])
        source = body.get("flow")
        if source is None and "model" in body:
            found = fetch(body["model"], fetched / name)
            source = found.source
            notes.append(f"deployment {name!r}: {body['model']} is {found.pinned} and stays so in this image")
        if source is None:
            raise one.refuse("flow", f"deployment {name!r} needs a flow", "missing-key", "flow: ../my_flow")
        try:
            flow = flow_of(source, variants=body.get("variants"), init=body.get("init"))
        except FlowError as error:
            wrong += error.diagnostics
            continue
        overrides = body.get("connections", {})
        parts.append(Part(flow=flow, name=name, folder=f"flows/{name}", overrides=overrides))
    if wrong:
        raise FlowError(wrong)
    return parts, notes


def _body(asked: Asked, inner: Sequence[Asked], sources: Sequence[str]) -> dict[str, Any]:
    """The endpoint's file with its flows where the image has them."""
    deployments = [
        {
            **{key: value for key, value in one.body.items() if key not in ("model", "endpoint_name")},
            "flow": source,
        }
        for one, source in zip(inner, sources, strict=True)
    ]
    return {**asked.body, "deployments": deployments}


def _told(asked: Asked, inner: Sequence[Asked]) -> list[str]:
    set_there = [
        f"deployment {one.body['name']!r} sets {', '.join(one.body['environment_variables'])}: "
        f"what is written there is in {FILE}, for all who have the image"
        for one in inner
        if one.body.get("environment_variables")
    ]
    return [*asked.notes, *(note for one in inner for note in one.notes), *set_there]


def _processes(inner: Sequence[Asked]) -> int:
    """One at the door, and those of the deployments."""
    return 1 + sum(int(one.body.get("instance_count", 1)) for one in inner)
