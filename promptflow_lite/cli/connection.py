"""`pf connection`: endpoints of models and services, and their secrets."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from promptflow_lite.cli.console import (
    Group,
    emit_json,
    facts,
    neutral,
    pairs,
    say,
    sure_to_delete,
    table,
    wants_json,
)
from promptflow_lite.cli.names import connection_names
from promptflow_lite.cli.options import Output, OutputOrJson, Yes
from promptflow_lite.errors import UserError

if TYPE_CHECKING:
    from promptflow_lite.connections.store import Connections

app = Group("Endpoints of models and services, and their secrets.")


_NAME = typer.Option(
    "--name", "-n", help="The connection's name.", metavar="NAME", autocompletion=connection_names
)
_SET = typer.Option("--set", help="Fields, as in base_url=http://127.0.0.1:8000/v1.", metavar="KEY=VALUE ...")


@app.command(
    "create",
    examples="""
    pf connection create --file openai.yaml
    pf connection create --name my_vllm --set type=open_ai base_url=http://127.0.0.1:8000/v1 model=my-model
    pf connection create --name my_azure --set type=azure_open_ai api_base=https://x.openai.azure.com
    pf connection create --file .env --name my_settings
    """,
)
def create(
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", "-f", help="A connection's YAML, or a .env file (a custom connection).", metavar="PATH"
        ),
    ] = None,
    name: Annotated[str | None, _NAME] = None,
    set: Annotated[list[str] | None, _SET] = None,
    output: OutputOrJson = None,
) -> None:
    """Keep a connection; one of that name is replaced.

    Write ${env:NAME} for a secret and it stays in the environment; <user-input> and it is asked for. The file
    that keeps the connection is readable by you alone.
    """
    body, named = _read(file)
    changes = pairs(set, "--set")
    name = name or changes.pop("name", None) or named
    if name is None:
        raise UserError("which name shall the connection have? Say --name NAME", code="missing-option")
    store = _store()
    existed = name in store.in_files()
    _keep(store, name, _with(body, changes), output, "replaced" if existed else "created")


@app.command("update", examples="pf connection update --name my_vllm --set model=another-model")
def update(
    name: Annotated[str, _NAME],
    set: Annotated[list[str] | None, _SET] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="Fields to change, as YAML.", metavar="PATH")
    ] = None,
    output: OutputOrJson = None,
) -> None:
    """Change fields of a connection; those that are not named, or are '***', stay."""
    from promptflow_lite.connections import files

    store = _store()
    if name not in store.in_files():
        _refuse(store, name, "changed")
    kept = files.read(store.path_of(name))
    changed = _merged(kept, files.parse(file) if file is not None else {})
    _keep(store, name, _with(changed, pairs(set, "--set")), output, "changed")


@app.command("list", examples="pf connection list --output json")
def list_(
    max_results: Annotated[int, typer.Option("--max-results", "-r", min=1, help="How many at most.")] = 50,
    all_results: Annotated[bool, typer.Option("--all-results", help="All of them.")] = False,
    output: OutputOrJson = None,
) -> None:
    """List the connections, and where each comes from."""
    store = _store()
    names = store.names()
    rows = [_row(store, name) for name in (names if all_results else names[:max_results])]
    if len(names) > len(rows):
        say(f"{len(names) - len(rows)} more are not shown; --all-results shows them")
    if wants_json(output):
        emit_json(rows)
    else:
        table(
            ("name", "type", "model", "from"), [(r["name"], r["type"], r["model"], r["from"]) for r in rows]
        )


@app.command("show", examples="pf connection show --name my_vllm")
def show(name: Annotated[str, _NAME], output: OutputOrJson = None) -> None:
    """Show a connection. Secrets are shown as ***."""
    _show(_store(), name, as_json=wants_json(output))


@app.command("delete", examples="pf connection delete --name my_vllm --yes")
def delete(name: Annotated[str, _NAME], yes: Yes = False) -> None:
    """Delete the file that keeps a connection."""
    store = _store()
    if name not in store.in_files():
        _refuse(store, name, "deleted")
    sure_to_delete(f"the connection {name!r}", yes=yes)
    store.path_of(name).unlink()
    say(f"connection {name!r}: deleted")


def _store() -> Connections:
    from promptflow_lite.connections.store import provider
    from promptflow_lite.settings import settings

    return provider(settings())


def _read(file: Path | None) -> tuple[dict[str, Any], str | None]:
    """The body of a file, unchecked, and the name it says."""
    from promptflow_lite.connections import files

    if file is None:
        return {}, None
    if file.name == ".env" or file.suffix == ".env":
        return files.read_dotenv(file), None
    body = files.parse(file)
    named = body.get("name")
    return body, str(named) if named else None


def _with(body: Mapping[str, Any], changes: Mapping[str, str]) -> dict[str, Any]:
    """The body with `--set` values; `secrets.x` and `configs.x` reach into a custom connection."""
    changed = dict(body)
    for key, value in changes.items():
        part, dot, inner = key.partition(".")
        if dot and part in ("secrets", "configs"):
            changed[part] = {**(changed.get(part) or {}), inner: value}
        else:
            changed[key] = value
    return changed


def _merged(kept: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    from promptflow_lite.connections.files import KEEP

    merged = dict(kept)
    for key, value in changes.items():
        if isinstance(value, Mapping):
            merged[key] = _merged(kept.get(key) or {}, value)
        elif value not in KEEP:
            merged[key] = value
    return merged


def _keep(store: Connections, name: str, body: dict[str, Any], output: Output | None, did: str) -> None:
    from promptflow_lite.connections import files

    path = store.path_of(name)
    body = _asked(name, body)
    complaints = files.validate(body)
    if complaints:
        lines = [f"{message}\n  {hint}" if hint else message for _, message, hint in complaints]
        raise UserError("\n".join(f"connection {name!r}: {line}" for line in lines), code="bad-connection")
    _check_declared(name, body)
    files.write(path, name, body)
    say(f"connection {name!r}: {did}, in {path}")
    if files.has_plain_secret(body):
        say("its secret stands in that file, which only you can read; ${env:NAME} keeps it out of files")
    if wants_json(output):
        _show(store, name, as_json=True)


def _check_declared(name: str, body: Mapping[str, Any]) -> None:
    """Compare a custom connection with the class that it stands for, if it names one and that is here."""
    from promptflow_lite.connections.strong import declared

    if not body.get("custom_type"):
        return
    where = f"{body['custom_type']!r} of {body.get('module')}"
    try:
        kind = declared(body)
    except ImportError as error:
        said = f"{where} cannot be imported here, so its fields are not checked: {error}"
        say(neutral(f"connection {name!r}: {said}"))
        return
    missing = kind.missing(body) if kind is not None else []
    if missing:
        raise UserError(
            f"connection {name!r}: {where} needs {', '.join(map(repr, missing))}", code="bad-connection"
        )


def _asked(name: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The body with what a person was asked for."""
    from promptflow_lite.connections.files import ASK

    answered: dict[str, Any] = {}
    for key, value in body.items():
        if isinstance(value, Mapping):
            answered[key] = _asked(name, value)
        elif value == ASK:
            if not sys.stdin.isatty():
                raise UserError(
                    f"connection {name!r}, field {key!r}: {ASK} needs a terminal to ask on",
                    code="missing-option",
                    hint=f"say --set {key}=VALUE",
                )
            answered[key] = getpass.getpass(f"{key} of {name}: ")
        else:
            answered[key] = value
    return answered


def _refuse(store: Connections, name: str, verb: str) -> None:
    _, origin = store.describe(name)  # raises where there is none
    raise UserError(f"connection {name!r} is {_origin(origin)}; it cannot be {verb} here", code="not-a-file")


def _origin(origin: str) -> str:
    return {"environment": "from the environment", "built in": "built in"}.get(origin, f"in {origin}")


def _row(store: Connections, name: str) -> dict[str, Any]:
    try:
        body, origin = store.describe(name)
    except UserError as error:  # a list shows what there is, the broken ones too
        first = error.message.splitlines()[0]
        return {"name": name, "type": "", "model": "", "from": str(store.path_of(name)), "error": first}
    return {"name": name, "type": body["type"], "model": body.get("model") or "", "from": origin}


def _show(store: Connections, name: str, *, as_json: bool) -> None:
    from promptflow_lite.connections.files import fields_of

    body, origin = store.describe(name)
    shown = {"name": name, "type": body["type"], **fields_of(body), "from": origin}
    if as_json:
        emit_json(shown)
    else:
        facts(shown)
