"""Which images do values hold? Both message formats of Prompt flow: mappings to `Image`, and back.

Prompt flow: _utils/multimedia_utils.py (flow-language 1.10). In the format `basic` an image is
`{"data:image/png;path": "a.png"}` (or `base64`, or `url`); in `openai-vision` it is
`{"type": "image_file", "image_file": {"path": "a.png"}}` or
`{"type": "image_url", "image_url": {"url": ...}}`.

Where we differ: an address is handed on and never fetched, and a path stays inside the folders of the flow
and of the data.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable, Mapping
from operator import is_not
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from promptflow_lite.values import Image, Text

__all__ = ["is_plain", "keep", "load", "load_image", "to_base64"]

OPENAI_VISION = "openai-vision"
_KEY = re.compile(r"data:image/(?P<kind>[^;]*);(?P<how>path|base64|url)")
_DATA_ADDRESS = re.compile(r"data:(?P<type>image/[^;,]*);base64,(?P<text>.*)", re.DOTALL)
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_PLAIN = frozenset({str, int, float, bool, type(None)})
_UNKNOWN = "image/*"
_HEAD = 1024
_LARGEST_FILE = 64 * 1024 * 1024

Encode = Callable[[Image], Any]


def load(value: Any, message_format: str, folders: Iterable[Path]) -> Any:
    """`value` with each mapping that means an image, however deep in lists and mappings, as an `Image`.

    Args:
        value: of an input of type list or object, or a literal.
        message_format: the flow's; in `openai-vision` text parts become `Text`.
        folders: where a path may lead; a relative one starts at the first that has such a file.

    Raises:
        ValueError: a path leads elsewhere or to no image, or base64 text is none.
    """
    if isinstance(value, list):
        return [load(item, message_format, folders) for item in value]
    if not isinstance(value, dict):
        return value
    source = _source_of(value, message_format)
    if source is not None:
        return _image(*source, folders)
    if message_format == OPENAI_VISION and _is_text(value):
        return Text.deserialize(value)
    return {key: load(item, message_format, folders) for key, item in value.items()}


def load_image(value: Any, message_format: str, folders: Iterable[Path]) -> Image:
    """The image that `value` means where an image is asked for; text is base64, an address, a path, or JSON.

    Raises:
        ValueError: as `load`, and where `value` is no image at all.
    """
    if isinstance(value, Image):
        return value
    if isinstance(value, str) and value.lstrip().startswith("{"):  # typed after --inputs
        value = _decoded(value)
    if isinstance(value, dict):
        source = _source_of(value, message_format)
        if source is None:
            raise ValueError(f"expected an image: {_shape(message_format)}; got {_shown(value)}")
        return _image(*source, folders)
    if not isinstance(value, str) or not value:
        shapes = f"{_shape(message_format)}, a path, an address or base64 text"
        raise ValueError(f"expected an image: {shapes}; got {_shown(value)}")
    if _DATA_ADDRESS.fullmatch(value) or _BASE64.fullmatch(value):
        return _image("base64", value, None, folders)
    return _image("url" if _is_address(value) else "path", value, None, folders)


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def is_plain(value: Any) -> bool:
    """Whether it is seen at a glance that `value` holds no image: so is most of what a run keeps."""
    if type(value) is not dict:
        return type(value) in _PLAIN
    if not _PLAIN.issuperset(map(type, value.values())):
        return False
    return len(value) != 1 or not str(next(iter(value))).startswith("data:")


def keep(value: Any, message_format: str, folder: Path, *, shown: str = "") -> Any:
    """`value` with each image in a file of `folder`, and a mapping with its path in its place.

    An image that came by an address keeps that. A file is named by its content, so that an image that many
    lines share is kept once.

    Args:
        value: an output, or whatever else of a record.
        message_format: the flow's.
        folder: made when the first image comes.
        shown: what stands before a file's name in its path, such as `images/`.
    """

    def write(image: Image) -> dict[str, Any]:
        if image.source_url and not image.source_url.startswith("data:"):
            return _by_address(image, image.source_url, message_format)
        name = f"{_digest(image)}{_suffix(image)}"
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / name).exists():
            new = folder / f".{name}.new"
            new.write_bytes(image)
            new.replace(folder / name)
        return _by_path(image, f"{shown}{name}", message_format)

    return _replaced(value, write, message_format)


def to_base64(value: Any, message_format: str) -> Any:
    """`value` with each image as a mapping that holds its base64 text: for answers over HTTP."""

    def encode(image: Image) -> dict[str, Any]:
        if not image and image.source_url:
            return _by_address(image, image.source_url, message_format)
        if message_format == OPENAI_VISION:
            return _by_address(image, image.to_base64(with_type=True), message_format)
        return {f"data:{image._mime_type};base64": image.to_base64()}

    return _replaced(value, encode, message_format)


def _source_of(value: Mapping[Any, Any], message_format: str) -> tuple[str, Any, str | None] | None:
    """How an image is given, the text of it, and its type; `None` if the mapping means no image."""
    if message_format == OPENAI_VISION:
        return _vision_source(value)
    if len(value) != 1:
        return None
    [(key, text)] = value.items()
    match = _KEY.fullmatch(key) if isinstance(key, str) else None
    return None if match is None else (match["how"], text, f"image/{match['kind']}")


def _vision_source(value: Mapping[Any, Any]) -> tuple[str, Any, str | None] | None:
    kind = value.get("type")
    body = value.get(kind) if isinstance(kind, str) else None
    if len(value) != 2 or not isinstance(body, Mapping):
        return None
    if kind == "image_file" and "path" in body:
        return "path", body["path"], None
    if kind == "image_url" and "url" in body:
        text = body["url"]
        is_base64 = isinstance(text, str) and (_DATA_ADDRESS.fullmatch(text) or _BASE64.fullmatch(text))
        return "base64" if is_base64 else "url", text, None
    return None


def _is_text(value: Mapping[Any, Any]) -> bool:
    text = value.get("text")
    said = text.get("value") if isinstance(text, Mapping) else text
    return len(value) == 2 and value.get("type") == "text" and isinstance(said, str)


def _image(how: str, text: Any, mime_type: str | None, folders: Iterable[Path]) -> Image:
    if not isinstance(text, str) or not text:
        raise ValueError(f"expected the {how} of an image, got {_shown(text)}")
    if how == "path":
        return Image(_content(text, list(folders)), mime_type)
    if how == "url":
        if not _is_address(text):
            raise ValueError(f"expected the address of an image, got {_shown(text)}")
        return Image(b"", mime_type, text)
    match = _DATA_ADDRESS.fullmatch(text)
    try:
        content = base64.b64decode(match["text"] if match else text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"expected an image as base64 text, got {_shown(text)} ({error})") from None
    return Image(content, mime_type or (match["type"] if match else None))


def _content(text: str, folders: list[Path]) -> bytes:
    """The file's bytes; its path ends inside one of `folders`, wherever links in it lead."""
    if not folders:
        raise ValueError(f"a path names no image here: {_shown(text)}; give its base64 text")
    places = [(folder / text).resolve() for folder in folders]
    homes = [folder.resolve() for folder in folders]
    inside = [path for path in places if any(path.is_relative_to(home) for home in homes)]
    if not inside:
        raise ValueError(f"the image {text!r} lies outside the folder of the flow and of the data")
    path = next((path for path in inside if path.is_file()), None)
    if path is None:
        raise ValueError(f"there is no image {text!r} in {str(folders[0])!r}")
    if path.stat().st_size > _LARGEST_FILE:
        raise ValueError(f"the image {text!r} is larger than {_LARGEST_FILE // 1024 // 1024} MB")
    content = path.read_bytes()
    if not _is_image(content) and path.stem != _digest(content):  # the path may come from data: no .env
        raise ValueError(f"{text!r} is no image of a known type")
    return content


def _is_image(content: bytes) -> bool:
    return Image(content)._mime_type != _UNKNOWN or b"<svg" in content[:_HEAD]


def _digest(content: bytes) -> str:
    """What a file is named that `keep` has written, whatever a tool took for an image."""
    import hashlib  # noqa: PLC0415  # heavy: 3 ms of every start, for what few flows have

    return hashlib.sha256(content).hexdigest()[:20]


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)


def _by_path(image: Image, path: str, message_format: str) -> dict[str, Any]:
    if message_format == OPENAI_VISION:
        return {"type": "image_file", "image_file": {"path": path}}
    return {f"data:{image._mime_type};path": path}


def _by_address(image: Image, address: str, message_format: str) -> dict[str, Any]:
    if message_format == OPENAI_VISION:
        return {"type": "image_url", "image_url": {"url": address}}
    return {f"data:{image._mime_type};url": address}


def _suffix(image: Image) -> str:
    kind = image._mime_type.partition("/")[2]
    return f".{kind}" if re.fullmatch(r"[\w.+-]{1,20}", kind) else ""


def _replaced(value: Any, encode: Encode, message_format: str) -> Any:
    """`value` itself where it holds no image, else a copy; a mapping with base64 text is an image too."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is list:
        items = [item if type(item) in _PLAIN else _replaced(item, encode, message_format) for item in value]
        return items if any(map(is_not, items, value)) else value
    if kind is dict:
        source = _source_of(value, message_format)
        if source is not None and source[0] == "base64":
            return _encoded(value, source, encode)
        fields = {key: _replaced(item, encode, message_format) for key, item in value.items()}
        return fields if any(map(is_not, fields.values(), value.values())) else value
    if isinstance(value, Image):
        return encode(value)
    return value.serialize() if isinstance(value, Text) else value


def _encoded(value: Any, source: tuple[str, Any, str | None], encode: Encode) -> Any:
    try:
        return encode(_image(*source, ()))
    except ValueError:
        return value


def _shape(message_format: str) -> str:
    if message_format == OPENAI_VISION:
        return '{"type": "image_url", "image_url": {"url": "..."}}'
    return '{"data:image/png;path": "..."}'


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
