"""Which model shall a prompt ask, said in Python? Prompt flow's model configurations.

Prompt flow: core/_model_configuration.py. Either the name of a connection, or where the model is and the key
for it; a text such as `${env:NAME}` is read when the model is asked.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

from promptflow_lite.connections.base import Connection, ConnectionProvider, Secret
from promptflow_lite.errors import UserError, near_miss

__all__ = [
    "AzureOpenAIModelConfiguration",
    "ModelConfiguration",
    "OpenAIModelConfiguration",
    "configuration_of",
]


class ModelConfiguration:
    """What the two configurations have in common."""

    connection: Any
    _type: str

    def _settle(self, *endpoint: str) -> None:
        """Hide the key in `repr`; refuse a connection beside what a connection says."""
        given = [name for name in endpoint if getattr(self, name)]
        if self.connection and given:
            raise UserError(
                f"{type(self).__name__}: a connection and {given[0]!r} exclude each other",
                code="connection-and-keys",
                hint="the connection says where the model is and which key opens it",
            )
        key = getattr(self, "api_key", None)
        if isinstance(key, str):
            object.__setattr__(self, "api_key", Secret(key))


@dataclass
class AzureOpenAIModelConfiguration(ModelConfiguration):
    """A deployment of Azure OpenAI."""

    azure_deployment: str
    azure_endpoint: str | None = None
    api_version: str | None = None
    api_key: str | None = None
    connection: str | None = None

    def __post_init__(self) -> None:
        """Check it."""
        self._type = "azure_open_ai"
        self._settle("azure_endpoint", "api_key", "api_version")

    @classmethod
    def from_connection(cls, connection: Any, azure_deployment: str) -> AzureOpenAIModelConfiguration:
        """The configuration that a connection and a deployment make."""
        return cls(
            azure_deployment=azure_deployment,
            azure_endpoint=connection.api_base,
            api_version=connection.api_version,
            api_key=connection.api_key,
        )

    @classmethod
    def from_env(cls, azure_deployment: str | None = None) -> AzureOpenAIModelConfiguration:
        """The configuration that `AZURE_OPENAI_ENDPOINT` and the variables beside it make.

        Raises:
            UserError: the endpoint or the deployment is not set.
        """
        return cls(
            azure_deployment=azure_deployment or _variable("AZURE_OPENAI_DEPLOYMENT"),
            azure_endpoint=_variable("AZURE_OPENAI_ENDPOINT"),
            api_version=os.environ.get("OPENAI_API_VERSION"),
            api_key=os.environ.get("AZURE_OPENAI_API_KEY"),
        )


@dataclass
class OpenAIModelConfiguration(ModelConfiguration):
    """A model of OpenAI, or of an endpoint that speaks its language."""

    model: str
    base_url: str | None = None
    api_key: str | None = None
    organization: str | None = None
    connection: str | None = None

    def __post_init__(self) -> None:
        """Check it."""
        self._type = "open_ai"
        self._settle("base_url", "api_key", "organization")

    @classmethod
    def from_connection(cls, connection: Any, model: str) -> OpenAIModelConfiguration:
        """The configuration that a connection and a model make."""
        return cls(
            model=model,
            base_url=connection.base_url,
            api_key=connection.api_key,
            organization=connection.organization,
        )

    @classmethod
    def from_env(cls, model: str | None = None) -> OpenAIModelConfiguration:
        """The configuration that `OPENAI_API_KEY` and the variables beside it make.

        Raises:
            UserError: the key or the model is not set.
        """
        return cls(
            model=model or _variable("OPENAI_MODEL"),
            base_url=os.environ.get("OPENAI_BASE_URL"),
            api_key=_variable("OPENAI_API_KEY"),
            organization=os.environ.get("OPENAI_ORG_ID"),
        )


_CLASSES: Mapping[str, tuple[type[ModelConfiguration], ...]] = {
    "AzureOpenAIModelConfiguration": (AzureOpenAIModelConfiguration,),
    "OpenAIModelConfiguration": (OpenAIModelConfiguration,),
    "ModelConfiguration": (AzureOpenAIModelConfiguration, OpenAIModelConfiguration),
}


def configuration_of(value: Any, kind: str, connections: ConnectionProvider) -> ModelConfiguration:
    """The configuration that `value` means; one that names a connection says what the connection says.

    A connection of a kind that no configuration can spell out, such as `local`, stays a name.

    Args:
        value: a configuration, or a mapping of its fields.
        kind: the name of the class that is asked for; `ModelConfiguration` for either.
        connections: where its connection is looked up.

    Raises:
        ValueError: it is none, or its fields are others.
        ConnectionNotFound: its connection does not exist.
    """
    classes = _CLASSES.get(kind, _CLASSES["ModelConfiguration"])
    if isinstance(value, Mapping) and not isinstance(value, Connection):
        is_azure = "azure_deployment" in value or str(value.get("type", "")).startswith("azure")
        made = classes[0] if len(classes) == 1 or is_azure else classes[-1]
        value = _made(made, {key: item for key, item in value.items() if key != "type"})
    if not isinstance(value, classes):
        names = " or ".join(known.__name__ for known in classes)
        raise ValueError(f"expected {names} or a mapping of its fields, got {value!r:.80}")
    if not value.connection:
        return value
    connection = connections.get(value.connection) if isinstance(value.connection, str) else value.connection
    if isinstance(value, AzureOpenAIModelConfiguration) and connection.TYPE == "azure_open_ai":
        return AzureOpenAIModelConfiguration.from_connection(connection, value.azure_deployment)
    if isinstance(value, OpenAIModelConfiguration) and connection.TYPE == "open_ai":
        return OpenAIModelConfiguration.from_connection(connection, value.model)
    return value


def _made(made: type[ModelConfiguration], values: Mapping[str, Any]) -> ModelConfiguration:
    known = {field.name: field for field in fields(made)}  # type: ignore[arg-type]  # both are dataclasses
    for name in values:
        if name not in known:
            hint = near_miss(str(name), known) or f"it has: {', '.join(known)}"
            raise ValueError(f"{made.__name__} has no field {name!r}; {hint}")
    for name, field in known.items():
        if field.default is MISSING and not values.get(name):
            raise ValueError(f"{made.__name__} needs {name!r}")
    try:
        return made(**values)
    except UserError as error:
        raise ValueError(error.message) from None


def _variable(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise UserError(f"the environment variable {name} is not set", code="bad-connection")
    return value
