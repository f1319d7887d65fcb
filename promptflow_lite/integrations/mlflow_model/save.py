"""What does `pf flow build --format mlflow` make of a flow? A model from code, in a folder or a registry."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptflow_lite.errors import PromptflowError, UserError
from promptflow_lite.flow.spec import Flow
from promptflow_lite.integrations.mlflow.reach import Store, patient, reached
from promptflow_lite.integrations.mlflow_model.config import Config
from promptflow_lite.integrations.mlflow_model.quiet import quiet
from promptflow_lite.packaging.folder import RECORD, made
from promptflow_lite.packaging.formats import Asked, Built
from promptflow_lite.packaging.gather import Gathered, Part, gather
from promptflow_lite.packaging.own import own_requirement
from promptflow_lite.packaging.pins import pinned
from promptflow_lite.serving.example import example_of

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

__all__ = ["FLOW", "METADATA", "build"]

FLOW = "flow"
"""The artifact that holds the flow."""
METADATA = "promptflow_lite"
"""What the model's metadata keeps of us."""
_SCRIPT = Path(__file__).with_name("script.py")
_TYPES = {"string": "string", "int": "long", "double": "double", "bool": "boolean"}


def build(asked: Asked) -> Built:
    """Write the model to a folder, or register it, or both.

    Raises:
        UserError: neither is asked for, the folder is in use, or the flow cannot be packed.
        PromptflowError: the tracking server cannot be reached, or refused (`mlflow-failed`).
    """
    if asked.output is None and asked.register is None:
        raise UserError(
            "where shall the model go? Say --output DIR, or --register NAME", code="missing-option"
        )
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # decided when mlflow is imported
    about: dict[str, Any] = {"format": "mlflow", "name": asked.flow.name}
    where, notes, following = "", [], []
    if asked.register is not None:
        with _staged() as folder, _told() as store, quiet():
            model_id, experiment = _logged_model(store, asked.flow)
            found = _write(asked, folder / "model", about, model_id=model_id)
            with patient():
                store.client.log_model_artifacts(model_id, str(folder / "model"))
                store.client.finalize_logged_model(model_id, "READY")
                where = _register(store, asked, model_id)
        about |= {"experiment_id": experiment, "model_id": model_id}
        notes = found.notes
        following = [f"mlflow models serve --model-uri {where} --env-manager local"]
    if asked.output is not None:
        with made(asked.output, about) as folder:
            notes = _write(asked, folder, about).notes
        where = where or str(asked.output)
        following = [f"mlflow models serve --model-uri {asked.output} --env-manager local", *following]
    return Built(where, about, notes, following)


def _write(asked: Asked, folder: Path, about: dict[str, Any], *, model_id: str | None = None) -> Gathered:
    """Write the model to `folder`, which is there and empty, or is not there."""
    flow = asked.flow
    with quiet(), _staged() as staged:
        import mlflow
        from mlflow.models import Model

        into = staged / FLOW
        into.mkdir()
        output = asked.output.resolve() if asked.output else None
        found = gather(
            [Part(flow=flow, overrides=asked.overrides)],
            into,
            connections=asked.connections,
            besides=output,
        )
        (source,) = found.sources
        about |= {
            "promptflow_lite": version("promptflow_lite"),
            "source": source,
            "digests": found.digests,
            "variables": sorted(found.connections.variables),
        }
        (into / RECORD).write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        own = own_requirement(staged, wheel=asked.wheel, say=asked.say).removeprefix("./")
        pins = pinned(sorted({"mlflow", *found.packages}))
        wanted = {_bare(name) for name in ("mlflow", *found.packages)}
        lines = [line for line in pins.lines if line.partition("==")[0] in wanted]
        placeholder = f"promptflow_lite=={version('promptflow_lite')}"
        script = Path(shutil.copy(_SCRIPT, staged / "flow_model.py"))
        model = Model(
            model_id=model_id,
            metadata={
                METADATA: {
                    "source": f"artifacts/{FLOW}/{source}",
                    "digest": found.digests[flow.name],
                    "version": version("promptflow_lite"),
                    "variables": about["variables"],
                }
            },
        )
        mlflow.pyfunc.save_model(
            path=str(folder),
            python_model=str(script),
            artifacts={FLOW: str(into)},
            signature=_signature(flow),
            input_example=example_of(flow) or None,
            pip_requirements=[placeholder, *lines],
            model_config=_configuration(asked),
            mlflow_model=model,
            streamable=True,
        )
        if own.startswith("wheels/"):
            _take_wheel(staged / "wheels", folder, placeholder, own)
    found.notes.extend(pins.notes)
    return found


def _take_wheel(wheels: Path, folder: Path, placeholder: str, own: str) -> None:
    """The wheel goes along, and stands for our version in the requirements (paths are the model's)."""
    shutil.copytree(wheels, folder / "wheels")
    for name in ("requirements.txt", "conda.yaml"):
        text = (folder / name).read_text(encoding="utf-8")
        (folder / name).write_text(text.replace(placeholder, own), encoding="utf-8")


def _configuration(asked: Asked) -> dict[str, Any]:
    """Every key, since MLflow lets only those be overridden that are there."""
    variant = asked.variant or ""
    overrides = {node: dict(changes) for node, changes in asked.overrides.items()}
    return {**asdict(Config()), "outputs": [], "variant": variant, "connections": overrides}


def _signature(flow: Flow) -> ModelSignature:
    """What it takes and gives.

    Inputs that are needed come first, the chat input before others: Spark gives columns by their place.
    Outputs that are no plain values are left out: MLflow 3.17 cannot give them back to Spark by the
    signature, and it holds no output to it.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec
    from mlflow.types.schema import AnyType

    def column(name: str, kind: str, *, required: bool) -> ColSpec:
        made = _TYPES.get(kind) or AnyType()  # type: ignore[no-untyped-call]  # mlflow's
        return ColSpec(made, name, required=required)

    history = flow.chat_history if flow.chat_input is not None else None
    needed = {
        name: spec.default is None and not spec.optional and name != history
        for name, spec in flow.inputs.items()
    }
    names = sorted(flow.inputs, key=lambda name: (not needed[name], name != flow.chat_input))
    inputs: list[ColSpec | TensorSpec] = [
        column(name, flow.inputs[name].type, required=needed[name]) for name in names
    ]
    outputs: list[ColSpec | TensorSpec] = [
        column(name, spec.type, required=False)
        for name, spec in flow.outputs.items()
        if spec.type in _TYPES and not spec.evaluation_only
    ]
    return ModelSignature(
        inputs=Schema(inputs) if inputs else None, outputs=Schema(outputs) if outputs else None
    )


def _logged_model(store: Store, flow: Flow) -> tuple[str, str]:
    """A new model of MLflow's in the flow's experiment: its id, and the experiment's."""
    from mlflow.environment_variables import MLFLOW_EXPERIMENT_NAME

    name = MLFLOW_EXPERIMENT_NAME.get() or flow.name  # type: ignore[no-untyped-call]  # mlflow's
    found = store.client.get_experiment_by_name(name)
    if found is None:
        experiment = store.client.create_experiment(name)
    else:
        experiment = found.experiment_id
        if found.lifecycle_stage == "deleted":
            store.client.restore_experiment(experiment)
    made = store.client.create_logged_model(experiment, name=flow.name, model_type="flow")
    return str(made.model_id), str(experiment)


def _register(store: Store, asked: Asked, model_id: str) -> str:
    """The address of the new version."""
    from mlflow.exceptions import MlflowException

    name = str(asked.register)
    try:
        store.client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    found = store.client.create_model_version(name, f"models:/{model_id}", model_id=model_id)
    if asked.alias is not None:
        store.client.set_registered_model_alias(name, asked.alias, found.version)
        return f"models:/{name}@{asked.alias}"
    return f"models:/{name}/{found.version}"


@contextmanager
def _told() -> Iterator[Store]:
    try:
        with reached() as store:
            yield store
    except ConnectionError as error:
        raise PromptflowError(str(error), code="mlflow-failed", hint=_HINT) from error


_HINT = "MLFLOW_TRACKING_URI says which; --output DIR without --register makes the model here"


@contextmanager
def _staged() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="promptflow_lite-") as folder:
        yield Path(folder)


def _bare(name: str) -> str:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    return canonicalize_name(Requirement(name).name)
