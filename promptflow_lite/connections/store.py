"""Where is a connection found? In files, then in the environment; `local` is always there."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from promptflow_lite.connections import files
from promptflow_lite.connections.base import Connection, ConnectionProvider
from promptflow_lite.connections.kinds import KINDS, LocalConnection
from promptflow_lite.errors import ConnectionNotFound, UserError
from promptflow_lite.settings import Settings

__all__ = ["AZURE_NAME", "OPENAI_NAME", "Connections", "Given", "default_connection", "provider"]

OPENAI_NAME = "open_ai_connection"
"""What OpenAI's usual environment variables make: the name that Prompt flow's samples use."""
AZURE_NAME = "azure_open_ai_connection"
"""The same for Azure OpenAI's."""
_LOCAL = "local"


class Connections:
    """The connections of a home folder and of an environment.

    Args:
        folder: one `NAME.yaml` a connection; need not exist.
        environ: variables that make connections and that `${env:NAME}` names.
        model: the embedded model where `local` names none.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str], *, model: str | None = None) -> None:
        self.folder = folder
        self._environ = environ
        self._model = model
        self._kept: dict[str, Connection] = {}

    def get(self, name: str) -> Connection:
        """The connection of that name; its variables are resolved now, once.

        Raises:
            ConnectionNotFound: there is none.
            UserError: its file is wrong, or a variable it names is not set.
        """
        if name not in self._kept:
            body, _ = self._find(name)
            self._kept[name] = self._with_default_model(files.make(name, body, self._environ))
        return self._kept[name]

    def names(self) -> list[str]:
        """The names that `get` knows, sorted; `local` is always one."""
        return sorted({*self.in_files(), *self._from_environment(), _LOCAL})

    def in_files(self) -> list[str]:
        """The names that have a file, sorted."""
        if not self.folder.is_dir():
            return []
        return sorted(p.stem for p in self.folder.iterdir() if p.suffix == ".yaml" and p.name[0] != ".")

    def path_of(self, name: str) -> Path:
        """Where the file of a connection is, or would be.

        Raises:
            UserError: no connection may have that name.
        """
        return self.folder / f"{files.check_name(name)}.yaml"

    def describe(self, name: str) -> tuple[files.Body, str]:
        """What is said of a connection, unresolved, and where: its file, or `environment`, or `built in`."""
        return self._find(name)

    def of_kind(self, *types: str) -> list[str]:
        """The names of the connections of those types: those in files first, each group sorted."""
        in_files = self.in_files()
        environment = [name for name in sorted(self._from_environment()) if name not in in_files]
        return [name for name in [*in_files, *environment] if self._type_of(name) in types]

    def _type_of(self, name: str) -> str | None:
        try:
            return str(self._find(name)[0]["type"])
        except UserError:  # a broken file is complained about by whoever asks for it by name
            return None

    def _find(self, name: str) -> tuple[files.Body, str]:
        path = self.folder / f"{name}.yaml"
        if name in self.in_files():
            return self._filled(name, files.read(path)), str(path)
        from_environment = self._from_environment()
        if name in from_environment:
            return from_environment[name], "environment"
        if name == _LOCAL:
            return {"type": "local"}, "built in"
        guessed = self._guess(name)
        if guessed is not None:
            return guessed, "environment"
        raise ConnectionNotFound(name, self.names(), hint=_how_to_get(name))

    def _with_default_model(self, connection: Connection) -> Connection:
        if isinstance(connection, LocalConnection) and not connection.model and self._model:
            return LocalConnection(connection.name, **{**connection, "model": self._model})
        return connection

    def _filled(self, name: str, body: files.Body) -> files.Body:
        """A value that the file leaves to a person comes from `<CONN>_<KEY>`, as in a container."""
        asked = {key for key, value in body.items() if value == files.ASK}
        found = {key: f"${{env:{_variable(name, key)}}}" for key in asked}
        return {**body, **found}

    def _from_environment(self) -> dict[str, files.Body]:
        """The connections that the environment alone describes."""
        found: dict[str, files.Body] = {}
        if self._set("OPENAI_API_KEY") or self._set("OPENAI_BASE_URL"):
            found[OPENAI_NAME] = self._body(
                "open_ai",
                api_key="OPENAI_API_KEY",
                base_url="OPENAI_BASE_URL",
                organization="OPENAI_ORG_ID",
                model="OPENAI_MODEL",
            )
        if self._set("AZURE_OPENAI_ENDPOINT"):
            found[AZURE_NAME] = self._body(
                "azure_open_ai",
                api_key="AZURE_OPENAI_API_KEY",
                api_base="AZURE_OPENAI_ENDPOINT",
                api_version="OPENAI_API_VERSION",
                model="AZURE_OPENAI_DEPLOYMENT",
            )
            if not self._set("AZURE_OPENAI_API_KEY"):
                found[AZURE_NAME]["auth_mode"] = "meid_token"
        for variable, value in self._environ.items():
            if variable.endswith("_TYPE") and value in KINDS and len(variable) > len("_TYPE"):
                name = variable.removesuffix("_TYPE").lower()
                if re.fullmatch(r"[a-z_][a-z0-9_]*", name) and name not in found:
                    found[name] = self._of_kind(name, value)
        return found

    def _guess(self, name: str) -> files.Body | None:
        """A connection of which only `<CONN>_<KEY>` variables are set, told by which they are."""
        if self._set(_variable(name, "api_base")) and self._set(_variable(name, "api_key")):
            return self._of_kind(name, "azure_open_ai")
        if self._set(_variable(name, "api_key")):
            return self._of_kind(name, "open_ai")
        return None

    def _of_kind(self, name: str, type_name: str) -> files.Body:
        if type_name == "custom":
            prefix = _variable(name, "")
            keys = [v for v in self._environ if v.startswith(prefix) and v != f"{prefix}TYPE"]
            secrets = {v.removeprefix(prefix).lower(): f"${{env:{v}}}" for v in keys}
            return {"type": "custom", "configs": {}, "secrets": secrets}
        fields = {f.name: _variable(name, f.name) for f in KINDS[type_name].FIELDS}
        return self._body(type_name, **fields)

    def _body(self, type_name: str, **variables: str) -> files.Body:
        body: dict[str, Any] = {"type": type_name}
        body.update((key, f"${{env:{v}}}") for key, v in variables.items() if self._set(v))
        return body

    def _set(self, variable: str) -> bool:
        return bool(self._environ.get(variable))


class Given:
    """Connections that were made in Python, before those of another provider.

    Args:
        connections: by name.
        behind: asked for every other name; `None` knows nothing.
    """

    def __init__(
        self, connections: Mapping[str, Connection], behind: ConnectionProvider | None = None
    ) -> None:
        self._given = dict(connections)
        self._behind = behind

    def get(self, name: str) -> Connection:
        """The connection of that name.

        Raises:
            ConnectionNotFound: there is none.
        """
        if name in self._given:
            return self._given[name]
        if self._behind is None:
            raise ConnectionNotFound(name, self._given)
        return self._behind.get(name)

    def names(self) -> list[str]:
        """The names that `get` knows, sorted."""
        return sorted({*self._given, *(self._behind.names() if self._behind is not None else ())})


def provider(settings: Settings, environ: Mapping[str, str] | None = None) -> Connections:
    """The connections of this process: the files of `settings.connections`, then the environment.

    Args:
        settings: says where the files are, and which embedded model is the default.
        environ: the environment; `None` is this process's.
    """
    return Connections(
        settings.connections, dict(os.environ if environ is None else environ), model=settings.model
    )


def default_connection(provider: ConnectionProvider) -> tuple[Connection, str]:
    """The connection of a flow that names none, and why it is that one.

    The first of type `open_ai` or `azure_open_ai`, those in files before those of the environment; `local`
    where there is none.
    """
    names = _language_models(provider)
    if not names:
        return _local(provider), "no OpenAI or Azure connection is configured, so the embedded model answers"
    name = names[0]
    more = f" (of {len(names)} that are configured)" if len(names) > 1 else ""
    origin = ""
    if isinstance(provider, Connections):
        where = provider.describe(name)[1]
        origin = " from the environment" if where == "environment" else ""
    return provider.get(name), f"the first configured connection{origin}{more}"


def _language_models(provider: ConnectionProvider) -> list[str]:
    if isinstance(provider, Connections):
        return provider.of_kind("open_ai", "azure_open_ai")
    return [n for n in provider.names() if provider.get(n).TYPE in ("open_ai", "azure_open_ai")]


def _local(provider: ConnectionProvider) -> Connection:
    try:
        return provider.get(_LOCAL)
    except ConnectionNotFound:
        return LocalConnection(_LOCAL)


def _variable(connection: str, key: str) -> str:
    return re.sub(r"[^A-Z0-9]", "_", f"{connection}_{key}".upper())


def _how_to_get(name: str) -> str:
    variables = {
        OPENAI_NAME: "set OPENAI_API_KEY",
        AZURE_NAME: "set AZURE_OPENAI_API_KEY and AZURE_OPENAI_ENDPOINT",
    }.get(name, f"set {_variable(name, 'api_key')}")
    return (
        f"make it with 'pf connection create --file FILE --name {name}', or {variables}, "
        "or leave the key 'connection' out to use the first one there is"
    )
