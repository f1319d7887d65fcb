"""What connections does Prompt flow keep on this machine? Its sqlite file, or what it was made to export.

Prompt flow: `_sdk/_orm/connection.py`, `_sdk/_utilities/general_utils.py`. Its secrets are Fernet tokens,
whose key is in the keyring of the desktop, under `promptflow` and `encryption_key`.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from promptflow_lite.connections.files import Body
from promptflow_lite.connections.kinds import KINDS
from promptflow_lite.errors import UserError

__all__ = ["EXPORT", "FILE", "from_export", "from_store", "key_of", "needs_key"]

FILE = "pf.sqlite"
"""The store, in Prompt flow's home."""

EXPORT = '''\
"""Writes the connections of Prompt flow, with their secrets, to connections.json. Run it with the Python
that has promptflow: python export.py. Then here: pf connection import --file connections.json"""
import json, os
from promptflow.client import PFClient

client, found = PFClient(), []
for listed in client.connections.list(all_results=True):
    c = client.connections.get(listed.name, with_secrets=True)
    parts = {"configs": dict(c.configs), "secrets": dict(c.secrets)}
    found.append({"name": c.name, "type": str(c.type), **parts})
with os.fdopen(os.open("connections.json", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
    json.dump(found, file, indent=2)
print(len(found), "connections, in connections.json, which only you can read")
'''

_KEYRING = "import keyring; print(keyring.get_password('promptflow', 'encryption_key') or '')"
_BY_NAME = {kind.__name__.removesuffix("Connection"): kind for kind in KINDS.values()}
_PREFIX = "promptflow.connection."
"""Before the keys by which a custom connection says which class it stands for."""


def needs_key(path: Path) -> bool:
    """Whether the store holds a secret.

    Raises:
        UserError: the file cannot be read.
    """
    return any(secrets for _, _, secrets in map(_parts, _rows(path)))


def from_store(path: Path, key: str | None) -> dict[str, Body]:
    """The connections of a store, by name; without a key a secret is `<user-input>`, asked for later.

    Raises:
        UserError: the file cannot be read, or the key is not the one (`wrong-key`).
    """
    decrypt = _decrypter(key) if key else None
    return {row["connectionName"]: _body_of_row(row, decrypt) for row in _rows(path)}


def from_export(path: Path) -> dict[str, Body]:
    """The connections of a file that `EXPORT` wrote, by name.

    Raises:
        UserError: the file is not that.
    """
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
        return {
            str(one["name"]): _body(str(one["type"]), dict(one["configs"]), dict(one["secrets"]))
            for one in listed
        }
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}", code="file-not-found") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: expected the file that 'pf connection import --script' speaks of", code="bad-connection"
        ) from error


def key_of(python: str | None) -> str | None:
    """The key of the keyring, asked for in this process or by another Python; `None` where there is none.

    Args:
        python: the Python of the environment that has Prompt flow; `None` asks here, if `keyring` is there.

    Raises:
        UserError: that Python cannot be run, or cannot read the keyring.
    """
    if python is None:
        try:
            import keyring  # noqa: PLC0415  # optional
        except ImportError:
            return None
        found: str | None = keyring.get_password("promptflow", "encryption_key")
        return found
    try:
        done = subprocess.run(  # noqa: S603  # the Python that the person names
            [python, "-c", _KEYRING], capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"--python: {python} cannot be run: {error}", code="bad-option") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it failed"])[-1]
        raise UserError(f"--python: {python} cannot read the keyring: {last}", code="bad-option")
    return done.stdout.strip() or None


def _rows(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        raise UserError(
            f"there is no {path}", code="file-not-found", hint="--from names the folder that Prompt flow uses"
        )
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as store:
            store.row_factory = sqlite3.Row
            return [dict(row) for row in store.execute("SELECT * FROM connection ORDER BY connectionName")]
    except sqlite3.Error as error:
        raise UserError(f"{path} cannot be read: {error}", code="bad-connection") from error


def _parts(row: Mapping[str, Any]) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The type, what is no secret, and the secrets as they are kept."""
    custom = json.loads(row["customConfigs"] or "{}")
    if custom:
        plain = {k: v["value"] for k, v in custom.items() if v["configValueType"] != "Secret"}
        return row["connectionType"], plain, {k: v["value"] for k, v in custom.items() if k not in plain}
    configs = {k: v for k, v in json.loads(row["configs"] or "{}").items() if v is not None}
    kind = _BY_NAME.get(row["connectionType"])
    secret = {field.name for field in kind.FIELDS if field.secret} if kind else {"api_key"}
    plain = {k: v for k, v in configs.items() if k not in secret}
    return row["connectionType"], plain, {k: v for k, v in configs.items() if k in secret}


def _body_of_row(row: Mapping[str, Any], decrypt: Callable[[str, str], str] | None) -> Body:
    kind, plain, secrets = _parts(row)
    name = row["connectionName"]
    opened = {k: decrypt(name, v) if decrypt else "<user-input>" for k, v in secrets.items()}
    return _body(kind, plain, opened)


def _body(kind: str, plain: Mapping[str, Any], secrets: Mapping[str, Any]) -> Body:
    plain = {key: value for key, value in plain.items() if value is not None}
    if kind not in _BY_NAME or _BY_NAME[kind].TYPE == "custom":
        said = {key.removeprefix(_PREFIX): value for key, value in plain.items() if key.startswith(_PREFIX)}
        configs = {key: value for key, value in plain.items() if not key.startswith(_PREFIX)}
        return {"type": "custom", **said, "configs": configs, "secrets": dict(secrets)}
    known = {field.name for field in _BY_NAME[kind].FIELDS}
    fields = {**plain, **secrets}
    return {"type": _BY_NAME[kind].TYPE} | {key: value for key, value in fields.items() if key in known}


def _decrypter(key: str) -> Callable[[str, str], str]:
    from cryptography.fernet import Fernet, InvalidToken  # noqa: PLC0415  # heavy: first use

    try:
        fernet = Fernet(key)
    except ValueError as error:
        raise UserError(
            "the key is none of Prompt flow's: expected 44 characters", code="wrong-key"
        ) from error

    def decrypt(name: str, token: str) -> str:
        try:
            return fernet.decrypt(token.encode()).decode()
        except InvalidToken as error:
            raise UserError(
                f"the key does not open the secrets of the connection {name!r}",
                code="wrong-key",
                hint="is it the key of the account that made the connection?",
            ) from error

    return decrypt
