"""What stands in a connection's file? YAML in, YAML out, and `${env:NAME}` where a value is read."""

from __future__ import annotations

import io
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from promptflow_lite.connections.base import Connection
from promptflow_lite.connections.kinds import KINDS, CustomConnection
from promptflow_lite.errors import Diagnostic, Mark, UserError, near_miss

__all__ = [
    "ASK",
    "KEEP",
    "check_name",
    "fields_of",
    "has_plain_secret",
    "make",
    "parse",
    "read",
    "read_dotenv",
    "resolve",
    "validate",
    "write",
]

Body = dict[str, Any]
"""A connection as its file says it: `type`, and fields that may still be `${env:NAME}`."""

ASK = "<user-input>"
"""A value that a person is asked for."""
KEEP = frozenset({"<no-change>", "***", "******"})
"""Values that leave what is stored as it is."""

_LIMIT = 64 * 1024
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_VARIABLE = re.compile(r"\$\{env:([^}]*)\}")
_HEADER = frozenset({"$schema", "name", "type"})
_CUSTOM = frozenset({"configs", "secrets", "module", "custom_type", "package", "package_version"})
_SHARED = frozenset({"module"})
"""Keys of Prompt flow's files that say nothing here."""


def check_name(name: str) -> str:
    """`name`, if a connection may be called so.

    Raises:
        UserError: it may not (`bad-name`).
    """
    if not _NAME.fullmatch(name):
        raise UserError(
            f"{name!r} is no name for a connection: letters, digits, '_' and '-', a letter or '_' first",
            code="bad-name",
        )
    return name


def read(path: Path) -> Body:
    """The body of a connection's file, checked; nothing is resolved.

    Raises:
        UserError: every complaint about the file, with its place (`bad-connection`).
    """
    data, places = _parse(_text_of(path), path)
    complaints = validate(data)
    if complaints:
        rendered = [
            Diagnostic(
                "bad-connection", message, Mark(str(path), *places.get(key, (1, 1)), key), hint
            ).render()
            for key, message, hint in complaints
        ]
        raise UserError("\n".join(rendered), code="bad-connection")
    return data


def parse(path: Path) -> Body:
    """What stands in a connection's file, not checked: fields may still be missing.

    Raises:
        UserError: it cannot be read, or is no mapping.
    """
    return _parse(_text_of(path), path)[0]


def validate(body: Mapping[str, Any]) -> list[tuple[str, str, str | None]]:
    """What is wrong with a body: (key, message, hint) each."""
    type_name = body.get("type")
    if not isinstance(type_name, str) or type_name not in KINDS:
        hint = near_miss(str(type_name), KINDS) or f"there are: {', '.join(KINDS)}"
        said = (
            "a connection needs a 'type'"
            if type_name is None
            else f"no connection has the type {type_name!r}"
        )
        return [("type", said, hint)]
    kind = KINDS[type_name]
    known = _CUSTOM if kind is CustomConnection else {f.name for f in kind.FIELDS} | _SHARED
    complaints: list[tuple[str, str, str | None]] = []
    for key, value in body.items():
        if key not in known | _HEADER:
            hint = near_miss(key, known) or f"it has: {', '.join(sorted(known - _SHARED))}"
            complaints.append((key, f"a connection of type {type_name!r} has no field {key!r}", hint))
        elif key in ("configs", "secrets"):
            if value is not None and not isinstance(value, Mapping):
                complaints.append((key, f"{key}: expected a mapping, got {type(value).__name__}", None))
        elif isinstance(value, Mapping | list):
            complaints.append((key, f"{key}: expected one value, got a {type(value).__name__}", None))
    for name in kind.missing(body):
        complaints.append((name, f"a connection of type {type_name!r} needs {name!r}", None))
    return complaints


def make(name: str, body: Mapping[str, Any], environ: Mapping[str, str]) -> Connection:
    """The connection of a checked body, with its variables resolved.

    Raises:
        UserError: a variable is not set, or a number is none.
    """
    kind = KINDS[body["type"]]
    if kind is CustomConnection:
        parts = {part: dict(body.get(part) or {}) for part in ("configs", "secrets")}
        return CustomConnection(
            name,
            **{
                part: {key: str(resolve(value, environ, name, key)) for key, value in values.items()}
                for part, values in parts.items()
            },
            custom_type=body.get("custom_type"),
            module=body.get("module"),
        )
    values = {
        field.name: _typed(resolve(body[field.name], environ, name, field.name), field.name, name)
        for field in kind.FIELDS
        if body.get(field.name) is not None
    }
    return kind(name, **values)


def resolve(value: Any, environ: Mapping[str, str], connection: str, field: str) -> Any:
    """`value` with each `${env:NAME}` replaced.

    Raises:
        UserError: names the connection, the field and the variable that is not set (`unset-variable`).
    """
    if not isinstance(value, str) or "${env:" not in value:
        return value

    def variable(found: re.Match[str]) -> str:
        if found.group(1) not in environ:
            raise UserError(
                f"connection {connection!r}, field {field!r}: "
                f"the environment variable {found.group(1)!r} is not set",
                code="unset-variable",
            )
        return environ[found.group(1)]

    return _VARIABLE.sub(variable, value)


_NUMBERS: Mapping[str, type[int] | type[float]] = {
    "n_ctx": int,
    "threads": int,
    "parallel": int,
    "timeout": float,
    "requests_per_minute": float,
    "tokens_per_minute": float,
}


def _typed(value: Any, field: str, connection: str) -> Any:
    if field not in _NUMBERS:
        return value if isinstance(value, str) else str(value)
    try:
        number = _NUMBERS[field](value)
    except (TypeError, ValueError):
        number = 0
    if number <= 0:
        raise UserError(
            f"connection {connection!r}, field {field!r}: expected a number above 0, got {value!r}",
            code="bad-connection",
        )
    return number


def fields_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """A body as it may be shown: no header, secrets as `***` unless they only name a variable."""
    kind = KINDS[body["type"]]
    secret = {f.name for f in kind.FIELDS if f.secret}
    shown: dict[str, Any] = {}
    for key, value in body.items():
        if key in _HEADER or value is None:
            continue
        if key == "secrets":
            shown[key] = {name: _hidden(text) for name, text in (value or {}).items()}
        else:
            shown[key] = _hidden(value) if key in secret else value
    return shown


def has_plain_secret(body: Mapping[str, Any]) -> bool:
    """Whether a secret stands in the body itself and not in the environment."""
    kind = KINDS[body["type"]]
    values = [*(body.get(f.name) for f in kind.FIELDS if f.secret), *(body.get("secrets") or {}).values()]
    return any(value and _hidden(value) == "***" for value in values)


def _hidden(value: Any) -> str:
    return value if isinstance(value, str) and _VARIABLE.fullmatch(value) else "***"


def write(path: Path, name: str, body: Mapping[str, Any]) -> None:
    """Keep a body as `path`, for this user's eyes only (mode 0600); whoever reads sees the old or the new."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    stream = io.StringIO()
    _yaml().dump({"name": name, **{k: v for k, v in body.items() if k not in ("$schema", "name")}}, stream)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")  # made with mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(stream.getvalue())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_dotenv(path: Path) -> Body:
    """The body of a custom connection that holds every variable of a `.env` file as a secret.

    Raises:
        UserError: a line is neither `NAME=value` nor a comment.
    """
    secrets: dict[str, str] = {}
    for number, line in enumerate(_text_of(path).splitlines(), 1):
        text = line.strip().removeprefix("export ").strip()
        if not text or text.startswith("#"):
            continue
        key, equals, value = text.partition("=")
        key, value = key.strip(), value.strip()
        if not equals or not key:
            raise UserError(f"{path}:{number}: expected NAME=value", code="bad-connection")
        quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
        secrets[key] = value[1:-1] if quoted else value.partition(" #")[0].rstrip()
    return {"type": "custom", "configs": {}, "secrets": secrets}


def _text_of(path: Path) -> str:
    try:
        if not path.is_file():
            raise UserError(f"there is no file {str(path)!r}", code="file-not-found")
        if path.stat().st_size > _LIMIT:
            raise UserError(f"{path}: larger than {_LIMIT // 1024} kB", code="bad-connection")
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}", code="bad-connection") from error


def _yaml() -> Any:
    from ruamel.yaml import YAML  # noqa: PLC0415  # heavy: first use

    yaml = YAML(typ="rt", pure=True)
    yaml.default_flow_style = False
    return yaml


def _parse(text: str, path: Path) -> tuple[Body, dict[str, tuple[int, int]]]:
    from ruamel.yaml.error import MarkedYAMLError, YAMLError  # noqa: PLC0415  # heavy: first use

    try:
        data: Any = _yaml().load(text)
    except MarkedYAMLError as error:
        at = error.problem_mark
        mark = Mark(str(path), at.line + 1, at.column + 1) if at else Mark(str(path), 1, 1)
        said = Diagnostic("bad-yaml", (error.problem or "not YAML").splitlines()[0], mark)
        raise UserError(said.render(), code="bad-yaml") from error
    except (YAMLError, RecursionError) as error:
        raise UserError(f"{path}: not YAML: {error}", code="bad-yaml") from error
    if not isinstance(data, dict):
        raise UserError(
            f"{path}: expected a mapping with 'type' and the connection's fields", code="bad-connection"
        )
    lines: Any = data.lc  # type: ignore[attr-defined]  # ruamel's CommentedMap, which is a dict
    places = {str(key): (row + 1, column + 1) for key, (row, column, *_) in (lines.data or {}).items()}
    return {str(key): _plain(value) for key, value in data.items()}, places


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return list(value)
    if isinstance(value, bool) or value is None:
        return value
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)
    return str(value)
