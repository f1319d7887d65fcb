"""What do endpoint.yml and deployment.yml ask for? Azure ML's keys, with our few beside them.

Azure ML: CLI (v2) managed online endpoint and deployment YAML schemas.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from promptflow_lite.errors import Diagnostic, FlowError, UserError, near_miss
from promptflow_lite.flow.environment import is_forbidden, text_of
from promptflow_lite.flow.source import Document, KeyPath, parse_yaml, read_yaml
from promptflow_lite.serving.endpoints.spec import NAME, Affinity, Probe, RequestSettings, Rollout

__all__ = ["Asked", "deployment", "endpoint"]

Holds = Callable[[Any], bool]
_Kinds = Mapping[str, tuple[str, Any]]

_AZURES_ENDPOINT = ("compute", "identity", "kind", "location", "properties", "public_network_access", "type")
_AZURES_DEPLOYMENT = (
    "app_insights_enabled",
    "code_configuration",
    "data_collector",
    "egress_public_network_access",
    "environment",
    "instance_type",
    "model_mount_path",
    "properties",
    "resources",
    "scale_settings",
    "startup_probe",
    "type",
)
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_OURS = ("authorization", "api-key", "host", "content-type", "content-length", "azureml-model-deployment")


class Asked:
    """What a file, and what was typed over it, asks for.

    Args:
        document: the file, with what was typed.
        body: its keys and values; the flow's path is absolute.
        notes: for people.
    """

    def __init__(self, document: Document, body: dict[str, Any], notes: list[str]) -> None:
        self.document = document
        self.body = body
        self.notes = notes

    def refuse(self, key: str, message: str, code: str, hint: str | None = None) -> FlowError:
        """The error about a key."""
        return FlowError([Diagnostic(code, message, self.document.at(key), hint)])


def endpoint(path: Path | None, changes: Mapping[str, str]) -> tuple[Asked, list[Asked]]:
    """What an endpoint's file asks for, and each of the deployments that stand in it.

    Args:
        path: the file, if there is one.
        changes: `--set` texts by key, as in `traffic.blue`.

    Raises:
        FlowError: everything that is wrong with it.
    """
    document = _document(path, changes)
    found = _Complaints(document, "an endpoint")
    body = found.mapping(document.data, (), _ENDPOINT, _AZURES_ENDPOINT)
    inner = []
    for at, item in enumerate(body.pop("deployments", [])):
        here = _Complaints(document, "a deployment", found.all)
        part = here.mapping(item, ("deployments", at), _DEPLOYMENT, _AZURES_DEPLOYMENT)
        if "name" not in part and isinstance(item, dict):
            here.add("missing-key", "a deployment needs a name", ("deployments", at))
        inner.append(Asked(_under(document, at), _resolved(part, path), here.notes()))
    if found.all:
        raise FlowError(found.all)
    return Asked(document, body, found.notes()), inner


def deployment(path: Path | None, changes: Mapping[str, str]) -> Asked:
    """What a deployment's file asks for.

    Raises:
        FlowError: everything that is wrong with it.
    """
    document = _document(path, changes)
    found = _Complaints(document, "a deployment")
    body = found.mapping(document.data, (), _DEPLOYMENT, _AZURES_DEPLOYMENT)
    if found.all:
        raise FlowError(found.all)
    return Asked(document, _resolved(body, path), found.notes())


def _document(path: Path | None, changes: Mapping[str, str]) -> Document:
    document = read_yaml(path) if path is not None else Document.empty()
    if document.data is None or document.data == {}:
        document = Document(document.file, {}, document.marks)
    if not isinstance(document.data, dict):
        raise FlowError([Diagnostic("wrong-type", "expected a mapping of keys such as name", document.at())])
    data = document.data
    for key, text in changes.items():
        data = _with(data, key.split("."), parse_yaml(text, f"--set {key}").data, key)
    return Document(document.file, data, document.marks)


def _with(data: Mapping[str, Any], steps: list[str], value: Any, key: str) -> dict[str, Any]:
    first, *rest = steps
    if not rest:
        return {**data, first: value}
    inner = data.get(first) or {}
    if not isinstance(inner, dict):
        raise UserError(f"--set {key}: {first!r} has no keys of its own", code="bad-option")
    return {**data, first: _with(inner, rest, value, key)}


def _under(document: Document, at: int) -> Document:
    """The document of which a deployment's keys are the top."""
    prefix: KeyPath = ("deployments", at)
    marks = {path[2:]: mark for path, mark in document.marks.items() if path[:2] == prefix}
    return Document(document.file, document.data["deployments"][at], marks)


def _resolved(body: dict[str, Any], path: Path | None) -> dict[str, Any]:
    """The flow's path absolute; a relative one starts at the file's folder, as `code_configuration` does."""
    text = body.get("flow")
    if not isinstance(text, str):
        return body
    folder = path.absolute().parent if path is not None else Path.cwd()
    found = (folder / Path(text).expanduser()).resolve()
    is_entry = ":" in text and not found.exists()
    return {**body, "flow": text if is_entry else str(found)}


class _Complaints:
    """Checks keys and values, and collects what is wrong."""

    def __init__(self, document: Document, what: str, into: list[Diagnostic] | None = None) -> None:
        self.all: list[Diagnostic] = [] if into is None else into
        self._document = document
        self._what = what
        self._unheard: list[str] = []

    def add(self, code: str, message: str, path: KeyPath, hint: str | None = None) -> None:
        """Complain about a key."""
        self.all.append(Diagnostic(code, message, self._document.at(*path), hint))

    def notes(self) -> list[str]:
        """The one warning about keys that only mean something in Azure."""
        if not self._unheard:
            return []
        names = ", ".join(sorted(self._unheard))
        return [f"{self._document.file or '--set'}: means nothing here, and is not heard: {names}"]

    def mapping(
        self, value: Any, path: KeyPath, kinds: _Kinds, azures: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """The values of the known keys."""
        if not isinstance(value, dict):
            self.add("wrong-type", f"expected a mapping, got {value!r}", path)
            return {}
        kept: dict[str, Any] = {}
        for key, item in value.items():
            here = (*path, key)
            if key in azures:
                self._unheard.append(key)
            elif key in _REFUSED:
                self.add("not-supported", *_told(key, here))
            elif key not in kinds:
                hint = near_miss(str(key), [*kinds, *azures]) or f"there are: {', '.join(kinds)}"
                self.add("unknown-key", f"{self._what} has no key {key!r}", here, hint)
            elif item is not None and key != "$schema":
                kept[str(key)] = self._value(key, item, here, kinds)
        return kept

    def _value(self, key: str, value: Any, path: KeyPath, kinds: _Kinds) -> Any:
        expected, how = kinds[key]
        if isinstance(how, type):
            return self._part(value, path, how)
        if key == "auth_mode" and value in ("aml_token", "aad_token"):
            hint = "'auth_mode: key' asks callers for one of two keys"
            self.add("not-supported", f"{value!r} needs Azure's own directory; here: key or none", path, hint)
        elif not how(value):
            self.add("wrong-type", f"expected {expected}, got {value!r}", path)
        elif key == "environment_variables":
            return self._variables(value, path)
        elif key == "tags":
            return {str(name): text_of(item) for name, item in value.items()}
        return value

    def _part(self, value: Any, path: KeyPath, kind: type) -> Any:
        kept = self.mapping(value, path, _PARTS[kind])
        needed = [name for name in _NEEDED.get(kind, ()) if name not in kept]
        for name in needed:
            self.add("missing-key", f"{print_last(path)} needs {name!r}", path)
        return kept

    def _variables(self, value: Mapping[Any, Any], path: KeyPath) -> dict[str, str]:
        for name in value:
            if is_forbidden(str(name)):
                self.add("forbidden-variable", f"a deployment may not set {name!r}", (*path, name))
        return {str(name): text_of(item) for name, item in value.items()}


def print_last(path: KeyPath) -> str:
    """The last key of a path, for people."""
    return repr(path[-1]) if path else "the file"


_REFUSED = {
    "gate": "name the limits under 'rollout', and compare runs with pf run compare before a roll-out",
    "model": "a deployment names the folder of its flow, as 'flow: PATH'",
}


def _told(key: str, path: KeyPath) -> tuple[str, KeyPath, str]:
    return f"{key!r} is not read here", path, _REFUSED[key]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and NAME.fullmatch(value) is not None


def _is_percents(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(name, str) and _whole(percent, 0, 100) for name, percent in value.items()
    )


def _whole(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _number(value: Any, least: float, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most


_NAMED = ("a letter, then letters, digits and dashes, 3 to 32", _is_name)
_TEXT = ("a string", _is_text)
_MAPPING = ("a mapping", _is_mapping)
_PERCENTS = ("whole percents by deployment, as in {blue: 90, green: 10}", _is_percents)
_SECONDS = ("seconds from 0.1 to 3600", lambda v: _number(v, 0.1, 3600))
_TIMES = ("a whole number from 1 to 1000", lambda v: _whole(v, 1, 1000))
_ENDPOINT: _Kinds = {
    "$schema": _TEXT,
    "name": _NAMED,
    "description": _TEXT,
    "tags": _MAPPING,
    "auth_mode": ("key or none", lambda v: v in ("key", "none")),
    "traffic": _PERCENTS,
    "mirror_traffic": _PERCENTS,
    "affinity": ("a mapping with header", Affinity),
    "rollout": ("a mapping", Rollout),
    "deployments": ("a list of deployments", lambda v: isinstance(v, list)),
}
_DEPLOYMENT: _Kinds = {
    "$schema": _TEXT,
    "name": _NAMED,
    "endpoint_name": _NAMED,
    "description": _TEXT,
    "tags": _MAPPING,
    "flow": ("the path of a flow's folder", _is_text),
    "variants": (
        "variants by node, as in {answer: variant_1}",
        lambda v: isinstance(v, dict) and all(isinstance(item, str) for item in v.values()),
    ),
    "connections": (
        "a mapping of mappings by node",
        lambda v: isinstance(v, dict) and all(isinstance(item, dict) for item in v.values()),
    ),
    "init": _MAPPING,
    "environment_variables": _MAPPING,
    "request_settings": ("a mapping", RequestSettings),
    "liveness_probe": ("a mapping", Probe),
    "readiness_probe": ("a mapping", Probe),
    "instance_count": ("a whole number from 1 to 64", lambda v: _whole(v, 1, 64)),
}
_PARTS: dict[type, _Kinds] = {
    RequestSettings: {
        "request_timeout_ms": ("milliseconds from 1", lambda v: _whole(v, 1, 86_400_000)),
        "max_concurrent_requests_per_instance": ("a whole number from 1", lambda v: _whole(v, 1, 100_000)),
        "max_queue_wait_ms": ("milliseconds from 0", lambda v: _whole(v, 0, 86_400_000)),
    },
    Probe: {
        "initial_delay": ("seconds from 0 to 3600", lambda v: _number(v, 0, 3600)),
        "period": _SECONDS,
        "timeout": _SECONDS,
        "success_threshold": _TIMES,
        "failure_threshold": _TIMES,
    },
    Affinity: {
        "header": (
            "the name of a header that is none of ours",
            lambda v: _is_text(v) and bool(_HEADER.fullmatch(v)) and v.lower() not in _OURS,
        ),
    },
    Rollout: {
        "max_error_rate": ("a part from 0 to 1, such as 0.05", lambda v: _number(v, 0, 1)),
        "min_requests": ("a whole number from 1", lambda v: _whole(v, 1, 1_000_000)),
        "window_s": ("seconds from 1 to 86400", lambda v: _number(v, 1, 86_400)),
    },
}
_NEEDED: dict[type, tuple[str, ...]] = {Affinity: ("header",)}
