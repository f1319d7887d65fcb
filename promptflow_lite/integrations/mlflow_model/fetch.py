"""Where is the flow of `models:/name@champion`? Its version is found, its files are fetched."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptflow_lite.errors import PromptflowError, UserError
from promptflow_lite.integrations.mlflow.reach import Store, patient, reached
from promptflow_lite.integrations.mlflow_model.quiet import quiet
from promptflow_lite.integrations.mlflow_model.save import METADATA
from promptflow_lite.serving.models import Fetched

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

__all__ = ["fetch", "source_of"]

_REGISTERED = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+))")
_LOGGED = re.compile(r"models:/m-[0-9a-f]+|runs:/[^/]+/.+")


def fetch(uri: str, into: Path, *, have: str = "") -> Fetched:
    """The flow of a model, copied to `into`.

    Args:
        uri: `models:/name@alias`, `models:/name/3`, `models:/m-ID` or `runs:/RUN/NAME`.
        into: a new folder; it is not made where the version is the one there is.
        have: the version there is.

    Raises:
        UserError: the address is none of these (`bad-model-uri`), there is no such model
            (`model-not-registered`), or it is no flow that was packed here (`no-flow`).
        PromptflowError: the registry cannot be reached, or refused (`mlflow-failed`).
    """
    if not (_REGISTERED.fullmatch(uri) or _LOGGED.fullmatch(uri)):
        raise UserError(
            f"{uri!r} is no address of a model",
            code="bad-model-uri",
            hint="write models:/NAME@ALIAS, models:/NAME/3, models:/m-ID or runs:/RUN_ID/NAME",
        )
    if uri == have:
        return Fetched(uri, None)
    try:
        with reached() as store, quiet():
            pinned = _pinned(store, uri)
            if pinned == have:
                return Fetched(pinned, None)
            with patient():
                return Fetched(pinned, _downloaded(store, pinned, into))
    except ConnectionError as error:
        said = str(error).replace(" was not told", "")
        hint = "MLFLOW_TRACKING_URI says which store; the commands read it, served endpoints do not"
        raise PromptflowError(said, code="mlflow-failed", hint=hint) from error


def _pinned(store: Store, uri: str) -> str:
    """The address with the version that its alias has now."""
    found = _REGISTERED.fullmatch(uri)
    if found is None:
        return uri
    from mlflow.exceptions import MlflowException

    name = found["name"]
    try:
        if found["alias"]:
            version: ModelVersion = store.client.get_model_version_by_alias(name, found["alias"])
        else:
            version = store.client.get_model_version(name, found["version"])
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        raise _missing(store, uri) from error
    return f"models:/{name}/{version.version}"


def _missing(store: Store, uri: str) -> UserError:
    return UserError(
        f"{uri}: there is no such model in MLflow at {store.shown}",
        code="model-not-registered",
        hint="pf flow build --source FLOW --format mlflow --register NAME --alias ALIAS  makes one",
    )


def _downloaded(store: Store, uri: str, into: Path) -> str:
    import mlflow
    from mlflow.exceptions import MlflowException

    into.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".model-", dir=into.parent) as folder:
        try:
            local = Path(mlflow.artifacts.download_artifacts(uri, dst_path=folder, tracking_uri=store.uri))
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise _missing(store, uri) from error
        source = source_of(local, uri)
        shutil.copytree(local, into)
    into.chmod(0o700)
    return os.fspath(into / source)


def source_of(model: Path, uri: str) -> str:
    """Where in a model's folder its flow is; what its MLmodel says is a stranger's, and stays inside.

    Raises:
        UserError: there is none (`no-flow`).
    """
    from mlflow.models import Model

    metadata: Any = Model.load(os.fspath(model)).metadata or {}
    said = metadata.get(METADATA)
    source = said.get("source") if isinstance(said, dict) else None
    path = (model / str(source)).resolve()
    if not isinstance(source, str) or not path.is_relative_to(model.resolve()) or not path.is_file():
        raise UserError(
            f"{uri} is a model, and holds no flow",
            code="no-flow",
            hint="a deployment needs one that pf flow build --format mlflow made",
        )
    return source
