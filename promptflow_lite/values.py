"""Which values do flows pass beside JSON's own, and what is left of a value when it is written down?

`Image` and `Text` are what Prompt flow gives to users' tools (contracts/multimedia.py); `to_plain` makes JSON
of everything that a node may return.
"""

from __future__ import annotations

import base64
import dataclasses
import math
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from types import MappingProxyType
from typing import Any

__all__ = ["Image", "Text", "clean_text", "to_plain"]

_MAX_DEPTH = 100
_SHOWN = 1000
_SCALARS = frozenset({bool, int, type(None)})
_ANY_IMAGE = "image/*"
_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", 0, "image/png"),
    (b"\xff\xd8\xff", 0, "image/jpeg"),
    (b"GIF8", 0, "image/gif"),
    (b"WEBP", 8, "image/webp"),
    (b"BM", 0, "image/bmp"),
    (b"II*\x00", 0, "image/tiff"),
    (b"MM\x00*", 0, "image/tiff"),
    (b"\x00\x00\x01\x00", 0, "image/x-icon"),
    (b"ftypheic", 4, "image/heic"),
    (b"ftypavif", 4, "image/avif"),
)
"""How the files of an image type begin: bytes, where they stand, the type."""


class Image(bytes):
    """An image as tools get and give it: its bytes, with its type.

    An image that is known by its address only has no bytes: an address in data is handed on to the model, and
    never fetched. A tool of the author's may fetch `source_url`.

    Args:
        value: the content of the file.
        mime_type: such as `image/png`; found from the first bytes if it is not said.
        source_url: the address it came by.
    """

    _hash: str
    _mime_type: str
    _source_url: str | None

    def __new__(cls, value: bytes, mime_type: str | None = None, source_url: str | None = None) -> Image:
        """An image of these bytes."""
        import hashlib  # noqa: PLC0415  # heavy: 3 ms of every start, for what few flows have

        made = super().__new__(cls, value)
        named = value or (source_url or "").encode()
        made._hash = hashlib.sha1(named, usedforsecurity=False).hexdigest()[:8]
        made._mime_type = (mime_type or _mime_type_of(value)).lower()
        made._source_url = source_url
        return made

    @property
    def source_url(self) -> str | None:
        """The address it came by, if it came by one."""
        return self._source_url

    def to_base64(self, with_type: bool = False) -> str:
        """The bytes as base64 text; with the type before them, a `data:` address."""
        text = base64.b64encode(self).decode("ascii")
        return f"data:{self._mime_type};base64,{text}" if with_type else text

    def serialize(self, encoder: Callable[[Image], Any] | None = None) -> Any:
        """What `encoder` makes of it; `Image(1a2b3c4d)` without one."""
        return str(self) if encoder is None else encoder(self)

    def __str__(self) -> str:
        return f"Image({self._hash})"

    def __repr__(self) -> str:
        return f"Image({self._hash})"

    def __reduce__(self) -> tuple[type[Image], tuple[bytes, str, str | None]]:
        return Image, (bytes(self), self._mime_type, self._source_url)


class Text(str):
    """A text of a chat message with what is said about its parts, in the format `openai-vision`."""

    __slots__ = ("_annotations",)
    _annotations: list[Any] | None

    def __new__(cls, value: str, annotations: list[Any] | None = None) -> Text:
        """A text with annotations."""
        made = super().__new__(cls, value)
        made._annotations = annotations
        return made

    @classmethod
    def deserialize(cls, data: Mapping[str, Any]) -> Text:
        """The text of `{"type": "text", "text": ...}`."""
        text = data.get("text", "")
        if isinstance(text, Mapping):
            return cls(text.get("value", ""), text.get("annotations", []))
        return cls(text)

    def serialize(self) -> dict[str, Any]:
        """The text as such a mapping."""
        if self._annotations is None:
            return {"type": "text", "text": str(self)}
        return {"type": "text", "text": {"value": str(self), "annotations": self._annotations}}

    def __reduce__(self) -> tuple[type[Text], tuple[str, list[Any] | None]]:
        return Text, (str(self), self._annotations)


def _mime_type_of(value: bytes) -> str:
    for signature, start, mime_type in _SIGNATURES:
        if value[start : start + len(signature)] == signature:
            return mime_type
    return _ANY_IMAGE


def to_plain(value: Any) -> Any:
    """`value` as what strict JSON can hold: str, int, float, bool, None, list, and dict with string keys.

    A copy: later changes of a list or mapping in `value` do not show in it. Dataclasses and pydantic models
    become mappings, sets and arrays lists, dates ISO text, enums their values, NaN and infinities null, lone
    surrogates the replacement character, an image a mapping with its base64 text. What is none of these
    becomes its `repr`, as in Prompt flow's records; so do connections, whose `repr` shows no secret.

    >>> to_plain({1: {"a": float("nan")}, "when": date(2024, 1, 1)})
    {'1': {'a': None}, 'when': '2024-01-01'}
    """
    return _plain(value, 0)


def clean_text(text: str) -> str:
    """`text` as UTF-8 can hold it: pairs of surrogates joined, lone ones replaced by U+FFFD."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _plain(value: Any, depth: int) -> Any:
    kind = type(value)
    if kind is str:
        return value if value.isascii() else clean_text(value)
    if kind in _SCALARS:
        return value
    if kind is float:
        return value if math.isfinite(value) else None
    if depth > _MAX_DEPTH:
        return _shown(value)
    if kind is dict:
        return {_key(key): _plain(item, depth + 1) for key, item in value.items()}
    if kind is list or kind is tuple:
        return [_plain(item, depth + 1) for item in value]
    return _unusual(value, depth)


def _unusual(value: Any, depth: int) -> Any:
    match value:
        case Enum():
            return _plain(value.value, depth + 1)
        case str():
            return clean_text(str.__str__(value))
        case bool() | int():
            return int(value)
        case float() | Decimal():
            return _plain(float(value), depth)
        case PurePath():
            return clean_text(str(value))
        case Image():
            return _image(value)
        case bytes() | bytearray() | memoryview():
            return _shown(value)
        case dict() | MappingProxyType():
            return {_key(key): _plain(item, depth + 1) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item, depth + 1) for item in value]
        case set() | frozenset():
            return [_plain(item, depth + 1) for item in _ordered(value)]
        case _:
            return _object(value, depth)


def _image(value: Image) -> dict[str, str]:
    """Prompt flow's basic format."""
    if not value and value.source_url:
        return {f"data:{value._mime_type};url": value.source_url}
    return {f"data:{value._mime_type};base64": value.to_base64()}


def _object(value: Any, depth: int) -> Any:
    kind = type(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Mapping | type):
        return _shown(value)
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name), depth + 1) for f in dataclasses.fields(value)}
    if kind.__module__ == "uuid":  # not imported: it costs the start of every command 3 ms
        return str(value)
    if kind.__module__.partition(".")[0] == "numpy" and hasattr(kind, "tolist"):
        return _plain(value.tolist(), depth + 1)
    if hasattr(kind, "model_dump"):
        return _plain(value.model_dump(), depth + 1)
    return _shown(value)


def _key(key: Any) -> str:
    if type(key) is str:
        return key if key.isascii() else clean_text(key)
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    plain = to_plain(key)
    return plain if isinstance(plain, str) else clean_text(str(key))


def _ordered(values: set[Any] | frozenset[Any]) -> list[Any]:
    try:
        return sorted(values)
    except TypeError:
        return sorted(values, key=repr)


def _shown(value: Any) -> str:
    text = clean_text(repr(value))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text)} characters)"
