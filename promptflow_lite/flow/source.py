"""What stands in a YAML file, and where? Text to plain data, with the position of every key.

Safe by construction: YAML 1.2, no tags, limits on size, depth and aliases, and duplicate keys are errors.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.reader import ReaderError

from promptflow_lite.errors import Diagnostic, FlowError, Mark

__all__ = ["Document", "KeyPath", "parse_yaml", "print_path", "read_text", "read_yaml"]

KeyPath = tuple[Any, ...]
"""Keys and indexes from the root down; keys are strings in all but odd files."""

MAX_BYTES = 10 * 1024 * 1024
MAX_DEPTH = 64
MAX_VALUES = 100_000
"""Values of one file, counted as if every alias were written out: this is what stops an alias bomb."""


@dataclass(frozen=True)
class Document:
    """A YAML file as plain data with marks."""

    file: str
    data: Any
    marks: Mapping[KeyPath, tuple[int, int]] = field(default_factory=dict)
    """Key path to (line, column) of the key (of the item, for sequences), both counted from 1."""
    moved: Mapping[KeyPath, KeyPath] = field(default_factory=dict)
    """Where a part really stands: the body of a chosen variant answers under its node's path."""

    @classmethod
    def empty(cls) -> Document:
        """A document of no file, for flows that are made in Python."""
        return cls(file="", data={})

    def at(self, *path: str | int) -> Mark:
        """The mark of the longest known prefix of `path`."""
        known = self._home(path)
        while known and known not in self.marks:
            known = known[:-1]
        line, column = self.marks.get(known, (1, 1))
        return Mark(self.file, line, column, print_path(path))

    def with_moved(self, here: KeyPath, there: KeyPath) -> Document:
        """The same document in which marks under `here` are those under `there`."""
        return Document(self.file, self.data, self.marks, {**self.moved, here: there})

    def _home(self, path: KeyPath) -> KeyPath:
        for here, there in self.moved.items():
            if len(path) > len(here) and path[: len(here)] == here:
                moved = there + path[len(here) :]
                return moved if moved[: len(there) + 1] in self.marks else path
        return path


def print_path(path: KeyPath) -> str:
    """A key path as a person writes it.

    >>> print_path(("nodes", 2, "inputs", "text"))
    'nodes[2].inputs.text'
    """
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else (f".{step}" if text else str(step))
    return text


def read_text(path: Path, *, shown: str | None = None) -> str:
    """The text of a file of a flow: a regular file of UTF-8, at most 10 MB.

    Args:
        path: the file.
        shown: how complaints name it; default: `path` itself.

    Raises:
        FlowError: code `unreadable-file`.
    """
    name = shown or str(path)
    try:
        if not path.exists():
            raise _unreadable(name, "there is no such file")
        if not path.is_file():
            raise _unreadable(name, "this is not a regular file")
        if path.stat().st_size > MAX_BYTES:
            raise _unreadable(name, f"the file is larger than {MAX_BYTES // 1024**2} MB")
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise _unreadable(name, error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise _unreadable(
            name, f"the file is not UTF-8 (byte {error.start} is {error.object[error.start]:#x})"
        ) from error


def read_yaml(path: Path, *, shown: str | None = None) -> Document:
    """A YAML file as plain data with marks.

    Raises:
        FlowError: codes `unreadable-file`, and those of `parse_yaml`.
    """
    return parse_yaml(read_text(path, shown=shown), shown or str(path))


def parse_yaml(text: str, file: str) -> Document:
    """YAML text as plain data with marks; an empty text is `None`.

    Args:
        text: one YAML 1.2 document. `yes` and `on` are strings, dates are `datetime.date`.
        file: the name in marks.

    Raises:
        FlowError: codes `yaml-syntax`, `duplicate-key`, `yaml-tag`, `yaml-limit`.
    """
    return _Composer(text, file).document()


def _unreadable(file: str, why: str) -> FlowError:
    return FlowError([Diagnostic("unreadable-file", why, Mark(file, 1, 1))])


class _Anchored(NamedTuple):
    value: Any
    size: int


class _Composer:
    """Turns the events of one text into data; recursion is bounded by `MAX_DEPTH`."""

    def __init__(self, text: str, file: str) -> None:
        self._text = text
        self._file = file
        self._yaml = YAML(typ="safe", pure=True, plug_ins=[])
        self._marks: dict[KeyPath, tuple[int, int]] = {}
        self._anchors: dict[str, _Anchored] = {}
        self._duplicates: list[Diagnostic] = []
        self._values = 0

    def document(self) -> Document:
        try:
            data = self._documents(self._yaml.parse(self._text))
        except MarkedYAMLError as error:
            raise FlowError([self._syntax(error)]) from None
        except ReaderError as error:
            raise FlowError([self._unreadable_character(error)]) from None
        except (YAMLError, ValueError, OverflowError) as error:
            raise FlowError([Diagnostic("yaml-syntax", str(error), Mark(self._file, 1, 1))]) from None
        if self._duplicates:
            raise FlowError(self._duplicates)
        return Document(self._file, data, self._marks)

    def _documents(self, events: Iterator[Event]) -> Any:
        data: Any = None
        documents = 0
        for event in events:
            if isinstance(event, DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._complaint(
                        "yaml-syntax", "a file holds one YAML document, this is a second one", event, ()
                    )
            elif isinstance(event, ScalarEvent | AliasEvent | SequenceStartEvent | MappingStartEvent):
                data = self._value(event, events, ())
        return data

    def _value(self, event: Any, events: Iterator[Any], path: KeyPath) -> Any:
        if isinstance(event, AliasEvent):
            return self._alias(event, path)
        if event.tag is not None:
            raise self._complaint("yaml-tag", f"tags such as {str(event.tag)!r} are not read", event, path)
        start = self._values
        self._count(1, event, path)
        if isinstance(event, ScalarEvent):
            value = self._scalar(event)
        elif len(path) >= MAX_DEPTH:
            raise self._complaint("yaml-limit", f"nested more than {MAX_DEPTH} levels deep", event, path)
        elif isinstance(event, SequenceStartEvent):
            value = self._sequence(events, path)
        else:
            value = self._mapping(events, path)
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchored(value, self._values - start)
        return value

    def _alias(self, event: Any, path: KeyPath) -> Any:
        anchored = self._anchors.get(event.anchor)
        if anchored is None:
            raise self._complaint(
                "yaml-syntax", f"no anchor is named {event.anchor!r} above this alias", event, path
            )
        self._count(anchored.size, event, path)
        return anchored.value

    def _count(self, values: int, event: Event, path: KeyPath) -> None:
        self._values += values
        if self._values > MAX_VALUES:
            raise self._complaint(
                "yaml-limit", f"more than {MAX_VALUES} values, aliases written out", event, path
            )

    def _scalar(self, event: Any) -> Any:
        tag = self._yaml.resolver.resolve(ScalarNode, event.value, event.implicit)
        if str(tag) == "tag:yaml.org,2002:str":
            return event.value
        return self._yaml.constructor.construct_object(ScalarNode(tag, event.value, event.start_mark))

    def _sequence(self, events: Iterator[Event], path: KeyPath) -> list[Any]:
        items: list[Any] = []
        for event in events:
            if isinstance(event, SequenceEndEvent):
                break
            here = (*path, len(items))
            self._mark(here, event)
            items.append(self._value(event, events, here))
        return items

    def _mapping(self, events: Iterator[Event], path: KeyPath) -> dict[Any, Any]:
        data: dict[Any, Any] = {}
        merged: dict[Any, Any] = {}
        for event in events:
            if isinstance(event, MappingEndEvent):
                break
            if isinstance(event, ScalarEvent) and event.value == "<<" and event.implicit[0]:
                merged |= self._merge(event, self._value(next(events), events, (*path, "<<")), path)
                continue
            key = self._value(event, events, path)
            if not isinstance(key, Hashable) or isinstance(event, SequenceStartEvent | MappingStartEvent):
                raise self._complaint(
                    "yaml-syntax", "a key is a single value, not a list or mapping", event, path
                )
            here = (*path, key)
            if key in data:
                line = self._marks[here][0]
                complaint = self._complaint(
                    "duplicate-key", f"{key!r} stands here twice; first in line {line}", event, here
                )
                self._duplicates.extend(complaint.diagnostics)
            else:
                self._mark(here, event)
            data[key] = self._value(next(events), events, here)
        return {**merged, **data} if merged else data

    def _merge(self, event: Event, value: Any, path: KeyPath) -> dict[Any, Any]:
        parts = value if isinstance(value, list) else [value]
        if not all(isinstance(part, dict) for part in parts):
            raise self._complaint("yaml-syntax", "'<<' merges mappings only", event, path)
        return {key: part[key] for part in reversed(parts) for key in part}

    def _mark(self, path: KeyPath, event: Event) -> None:
        self._marks[path] = (event.start_mark.line + 1, event.start_mark.column + 1)

    def _complaint(self, code: str, message: str, event: Event, path: KeyPath) -> FlowError:
        mark = Mark(self._file, event.start_mark.line + 1, event.start_mark.column + 1, print_path(path))
        return FlowError([Diagnostic(code, message, mark)])

    def _syntax(self, error: MarkedYAMLError) -> Diagnostic:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        context = f", {error.context}" if error.context else ""
        message = f"{error.problem or 'this is not YAML'}{context}"
        return Diagnostic(
            "yaml-syntax", message, Mark(self._file, line, column), _trap(self._text, line, column)
        )

    def _unreadable_character(self, error: ReaderError) -> Diagnostic:
        before = self._text[: error.position]
        line = before.count("\n") + 1
        column = len(before) - (before.rfind("\n") + 1) + 1
        message = f"the character {error.character!r} may not stand in YAML"
        return Diagnostic("yaml-syntax", message, Mark(self._file, line, column))


def _trap(text: str, line: int, column: int) -> str | None:
    """A hint for the mistakes that flow authors make most."""
    lines = text.splitlines()
    written = lines[line - 1] if 0 < line <= len(lines) else ""
    if written[max(column - 2, 0) : column] == "${":
        return 'put quotes around a reference inside { }: "${...}"'
    if written[column - 1 : column] == "\t":
        return "indent with spaces, not with tabs"
    return None
