"""What does a YAML file of an endpoint or a deployment ask for? Its keys, held against a table of them.

Every complaint comes at once, each with its place; keys that only mean something in Azure are named in one
warning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from promptflow_lite.errors import Diagnostic, FlowError, UserError, near_miss
from promptflow_lite.flow.environment import is_forbidden, text_of
from promptflow_lite.flow.source import Document, KeyPath, parse_yaml, read_yaml
from promptflow_lite.serving.fields import Kinds

__all__ = ["Asked", "Complaints", "Keys", "read", "resolved"]


@dataclass(frozen=True, kw_only=True)
class Keys:
    """What may stand in a file."""

    what: str
    """As a message calls it: `an endpoint`."""
    kinds: Kinds
    azures: tuple[str, ...] = ()
    """Keys that only mean something in Azure."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Keys that are an error, and what to do instead."""
    parts: Mapping[type, Kinds] = field(default_factory=dict)
    """The keys of each part."""
    needed: Mapping[type, tuple[str, ...]] = field(default_factory=dict)
    """Those of them that must be there."""
    azures_of_parts: Mapping[type, tuple[str, ...]] = field(default_factory=dict)
    """Keys of a part that only mean something in Azure."""


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


def read(path: Path | None, changes: Mapping[str, str]) -> Document:
    """The keys of a file, and what was typed over them.

    Args:
        path: the file, if there is one.
        changes: `--set` texts by key, as in `traffic.blue`.

    Raises:
        FlowError: it is no mapping of keys.
    """
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


def resolved(body: dict[str, Any], path: Path | None) -> dict[str, Any]:
    """The flow's path absolute; a relative one starts at the file's folder, as `code_configuration` does."""
    text = body.get("flow")
    if not isinstance(text, str):
        return body
    folder = path.absolute().parent if path is not None else Path.cwd()
    found = (folder / Path(text).expanduser()).resolve()
    is_entry = ":" in text and not found.exists()
    return {**body, "flow": text if is_entry else str(found)}


class Complaints:
    """Checks keys and values, and collects what is wrong.

    Args:
        document: the file.
        keys: what may stand in it.
        into: where complaints are put; a list of its own otherwise.
    """

    def __init__(self, document: Document, keys: Keys, into: list[Diagnostic] | None = None) -> None:
        self.all: list[Diagnostic] = [] if into is None else into
        self._document = document
        self._keys = keys
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

    def mapping(self, value: Any, path: KeyPath) -> dict[str, Any]:
        """The values of the known keys."""
        return self._mapping(value, path, self._keys.kinds, self._keys.azures)

    def _mapping(
        self, value: Any, path: KeyPath, kinds: Kinds, azures: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        if not isinstance(value, dict):
            self.add("wrong-type", f"expected a mapping, got {value!r}", path)
            return {}
        kept: dict[str, Any] = {}
        for key, item in value.items():
            here = (*path, key)
            if key in azures:
                self._unheard.append(key)
            elif key in self._keys.refused and key not in kinds:
                self.add("not-supported", f"{key!r} is not read here", here, self._keys.refused[key])
            elif key not in kinds:
                hint = near_miss(str(key), [*kinds, *azures]) or f"there are: {', '.join(kinds)}"
                self.add("unknown-key", f"{self._keys.what} has no key {key!r}", here, hint)
            elif item is not None and key != "$schema":
                kept[str(key)] = self._value(key, item, here, kinds)
        return kept

    def _value(self, key: str, value: Any, path: KeyPath, kinds: Kinds) -> Any:
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
        keys = self._keys
        kept = self._mapping(value, path, keys.parts[kind], keys.azures_of_parts.get(kind, ()))
        needed = [name for name in self._keys.needed.get(kind, ()) if name not in kept]
        for name in needed:
            self.add("missing-key", f"{_last(path)} needs {name!r}", path)
        return kept

    def _variables(self, value: Mapping[Any, Any], path: KeyPath) -> dict[str, str]:
        for name in value:
            if is_forbidden(str(name)):
                self.add("forbidden-variable", f"a deployment may not set {name!r}", (*path, name))
        return {str(name): text_of(item) for name, item in value.items()}


def _last(path: KeyPath) -> str:
    """The last key of a path, for people."""
    return repr(path[-1]) if path else "the file"
