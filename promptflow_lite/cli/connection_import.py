"""`pf connection import`: take over what Prompt flow keeps on this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from promptflow_lite.cli.console import Group, emit, emit_json, say, table
from promptflow_lite.cli.options import Output, Outputs
from promptflow_lite.errors import UserError

app = Group("Endpoints of models and services, and their secrets.")


@app.command(
    "import",
    examples="""
    pf connection import
    pf connection import --python ~/old-env/bin/python
    pf connection import --script > export.py
    pf connection import --file connections.json
    """,
)
def import_(
    home: Annotated[
        Path | None,
        typer.Option("--from", metavar="DIR", help="The home of Prompt flow.  [default: ~/.promptflow]"),
    ] = None,
    python: Annotated[
        str | None,
        typer.Option(
            "--python", metavar="PYTHON", help="A Python that has promptflow: it reads the keyring."
        ),
    ] = None,
    key_file: Annotated[
        Path | None,
        typer.Option("--key-file", metavar="FILE", help="The encryption key of the keyring, in a file."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", metavar="JSON", help="What the script of --script wrote.")
    ] = None,
    script: Annotated[
        bool, typer.Option("--script", help="Print a script that exports them where promptflow is.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace connections of the same name.")
    ] = False,
    output: Outputs = Output.table,
) -> int:
    """Take over the connections that Prompt flow keeps on this machine, secrets included.

    Its store is read and not changed. Secrets are encrypted with a key of the desktop's keyring: it is read
    here where the package keyring is installed, or by the Python of --python. Exit code 0: all are here; 3:
    some were left out, and why is said.
    """
    from promptflow_lite.connections import imported

    if script:
        emit(imported.EXPORT.rstrip("\n"))
        return 0
    if file is not None:
        bodies = imported.from_export(file)
    else:
        path = (home or _home()).expanduser() / imported.FILE
        bodies = imported.from_store(path, _key(path, python, key_file))
    results = [_keep(name, body, overwrite=overwrite) for name, body in bodies.items()]
    if output is Output.json:
        emit_json(results)
    elif results:
        table(("name", "type", "result"), [(r["name"], r["type"], r["result"]) for r in results])
    else:
        say("Prompt flow keeps no connection there")
    return 3 if any(r["result"].startswith("left out") for r in results) else 0


def _home() -> Path:
    said = os.environ.get("PF_HOME_DIRECTORY")
    return Path(said) if said else Path.home() / ".promptflow"


def _key(path: Path, python: str | None, key_file: Path | None) -> str | None:
    from promptflow_lite.connections import imported

    if not imported.needs_key(path):
        return None
    if key_file is not None:
        try:
            return key_file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise UserError(f"--key-file: {key_file}: {error.strerror}", code="bad-option") from error
    key = imported.key_of(python)
    if key is None:
        raise UserError(
            "the secrets are encrypted, and the key is in the keyring of the account that made them",
            code="no-key",
            hint="name a Python that has promptflow with --python; or run the script of\n"
            "  pf connection import --script  there, and bring its file: pf connection import --file FILE",
        )
    return key


def _keep(name: str, body: dict[str, Any], *, overwrite: bool) -> dict[str, Any]:
    from promptflow_lite.connections import files
    from promptflow_lite.connections.store import provider
    from promptflow_lite.settings import settings

    store = provider(settings())
    result = {"name": name, "type": body["type"]}
    complaints = [message for _, message, _ in files.validate(body)]
    try:
        path = store.path_of(name)
    except UserError as error:
        return {**result, "result": f"left out: {error.message}"}
    if complaints:
        return {**result, "result": f"left out: {'; '.join(complaints)}"}
    existed = path.exists()
    if existed and not overwrite:
        return {**result, "result": "left out: one of that name is here; --overwrite replaces it"}
    files.write(path, name, body)
    return {**result, "result": "replaced" if existed else "created"}
