"""Which kinds of connection are there? A class each, with the fields of its YAML.

Names, fields and defaults are Prompt flow's (promptflow-core 1.18.5, `_connection.py`); ours are `local`, and
`model`, `timeout`, `requests_per_minute` and `tokens_per_minute` wherever a language model answers.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from promptflow_lite.connections.base import Connection, Field, Secret
from promptflow_lite.errors import UserError

__all__ = [
    "KINDS",
    "AzureAIServicesConnection",
    "AzureContentSafetyConnection",
    "AzureOpenAIConnection",
    "CognitiveSearchConnection",
    "CustomConnection",
    "FormRecognizerConnection",
    "LocalConnection",
    "OpenAIConnection",
    "QdrantConnection",
    "SerpConnection",
    "ServerlessConnection",
    "WeaviateConnection",
    "is_language_model",
]

_KEY = Field("api_key", required=True, secret=True)
_MODEL = (
    Field("model", is_ours=True),
    Field("timeout", default=300.0, is_ours=True),
    Field("requests_per_minute", is_ours=True),
    Field("tokens_per_minute", is_ours=True),
)
"""The model (Azure: the deployment) that is asked where a flow names none; seconds an answer may take; what
the account may ask, of each of its models."""


class OpenAIConnection(Connection):
    """OpenAI, and every server that speaks its protocol (vLLM, Ollama, llama.cpp, ...)."""

    TYPE = "open_ai"
    FIELDS = (Field("api_key", secret=True), Field("organization"), Field("base_url"), *_MODEL)

    @classmethod
    def missing(cls, fields: Mapping[str, Any]) -> list[str]:
        """A key is needed where OpenAI itself is asked; servers of one's own often have none."""
        return [] if fields.get("api_key") or fields.get("base_url") else ["api_key"]

    @classmethod
    def from_env(cls, name: str | None = None) -> OpenAIConnection:
        """The connection that `OPENAI_API_KEY`, `OPENAI_BASE_URL` and `OPENAI_ORG_ID` describe.

        Raises:
            UserError: the key is not set (`unset-variable`).
        """
        found = _of_variables(api_key="OPENAI_API_KEY")
        more = {
            "base_url": os.environ.get("OPENAI_BASE_URL"),
            "organization": os.environ.get("OPENAI_ORG_ID"),
        }
        return cls(name or "", **found, **{key: value for key, value in more.items() if value})


class AzureOpenAIConnection(Connection):
    """Azure OpenAI, by key or by Entra token (`auth_mode: meid_token`)."""

    TYPE = "azure_open_ai"
    FIELDS = (
        Field("api_key", secret=True),
        Field("api_base", required=True),
        Field("api_type", default="azure"),
        Field("api_version", default="2024-02-01"),
        Field("resource_id"),
        Field("auth_mode", default="key"),
        *_MODEL,
    )

    @classmethod
    def missing(cls, fields: Mapping[str, Any]) -> list[str]:
        """No key is needed with a token."""
        return _without_key(super().missing(fields), fields)

    @classmethod
    def from_env(cls, name: str | None = None) -> AzureOpenAIConnection:
        """The connection that `AZURE_OPENAI_ENDPOINT`, `AZURE_OPENAI_API_KEY`, `OPENAI_API_VERSION` describe.

        Raises:
            UserError: the endpoint or the key is not set (`unset-variable`).
        """
        found = _of_variables(api_base="AZURE_OPENAI_ENDPOINT", api_key="AZURE_OPENAI_API_KEY")
        version = os.environ.get("OPENAI_API_VERSION")
        return cls(name or "", **found, **({"api_version": version} if version else {}))

    def get_token(self) -> str:
        """An Entra token for Azure OpenAI, as Prompt flow's connections give it.

        Raises:
            MissingExtra: azure-identity is not installed.
        """
        from promptflow_lite.connections.entra import token_source  # noqa: PLC0415  # heavy: first use

        return token_source().get().text


class ServerlessConnection(Connection):
    """A model of Azure's catalogue behind an OpenAI-compatible endpoint; `/v1` is put after `api_base`."""

    TYPE = "serverless"
    FIELDS = (_KEY, Field("api_base", required=True), *_MODEL)


class AzureAIServicesConnection(Connection):
    """Azure AI services."""

    TYPE = "azure_ai_services"
    FIELDS = (
        Field("api_key", secret=True),
        Field("endpoint", required=True),
        Field("auth_mode", default="key"),
    )

    @classmethod
    def missing(cls, fields: Mapping[str, Any]) -> list[str]:
        """No key is needed with a token."""
        return _without_key(super().missing(fields), fields)


class CognitiveSearchConnection(Connection):
    """Azure AI Search."""

    TYPE = "cognitive_search"
    FIELDS = (
        Field("api_key", secret=True),
        Field("api_base", required=True),
        Field("api_version", default="2023-11-01"),
        Field("auth_mode", default="key"),
    )

    @classmethod
    def missing(cls, fields: Mapping[str, Any]) -> list[str]:
        """No key is needed with a token."""
        return _without_key(super().missing(fields), fields)


class AzureContentSafetyConnection(Connection):
    """Azure AI Content Safety."""

    TYPE = "azure_content_safety"
    FIELDS = (
        _KEY,
        Field("endpoint", required=True),
        Field("api_version", default="2023-10-01"),
        Field("api_type", default="Content Safety"),
    )


class FormRecognizerConnection(Connection):
    """Azure AI Document Intelligence, under its old name."""

    TYPE = "form_recognizer"
    FIELDS = (
        _KEY,
        Field("endpoint", required=True),
        Field("api_version", default="2023-07-31"),
        Field("api_type", default="Form Recognizer"),
    )


class SerpConnection(Connection):
    """SerpApi."""

    TYPE = "serp"
    FIELDS = (_KEY,)


class QdrantConnection(Connection):
    """Qdrant."""

    TYPE = "qdrant"
    FIELDS = (_KEY, Field("api_base", required=True))


class WeaviateConnection(Connection):
    """Weaviate."""

    TYPE = "weaviate"
    FIELDS = (_KEY, Field("api_base", required=True))


class LocalConnection(Connection):
    """The embedded language model: it runs in this process, on the CPU, and has no secret."""

    TYPE = "local"
    FIELDS = (
        Field("model"),  # a name of the catalogue, or a GGUF file; None: the default of the catalogue
        Field("n_ctx", default=4096),  # tokens of prompt and answer that one call may take
        Field("threads"),  # None: the cores but one
        Field("parallel", default=1),  # calls at a time
        Field("timeout", default=600.0),
    )


class CustomConnection(Connection):
    """Any names and values: `configs` in the open, `secrets` not."""

    TYPE = "custom"
    FIELDS = ()

    def __init__(
        self,
        name: str = "",
        *,
        configs: Mapping[str, Any] | None = None,
        secrets: Mapping[str, Any] | None = None,
        custom_type: str | None = None,
        module: str | None = None,
    ) -> None:
        self.name = name
        self._configs = dict(configs or {})
        self._secrets = {key: Secret(value) for key, value in (secrets or {}).items()}
        self.custom_type = custom_type
        """The class that a tool may ask for in its place (`connections.strong`)."""
        self.custom_module = module

    @property
    def _values(self) -> dict[str, Any]:  # type: ignore[override]  # two mappings that may be written to, as one
        return {**self._configs, **self._secrets}

    @property
    def secrets(self) -> dict[str, Any]:
        """The secrets, by name; may be written to."""
        return self._secrets

    @property
    def configs(self) -> dict[str, Any]:
        """What is no secret, by name; may be written to."""
        return self._configs


def _of_variables(**variables: str) -> dict[str, str]:
    lacking = [name for name in variables.values() if not os.environ.get(name)]
    if lacking:
        raise UserError(
            f"{', '.join(lacking)}: not set; a connection of the environment needs it", code="unset-variable"
        )
    return {field: os.environ[name] for field, name in variables.items()}


def _without_key(missing: list[str], fields: Mapping[str, Any]) -> list[str]:
    by_token = fields.get("auth_mode") == "meid_token"
    return missing if by_token or fields.get("api_key") else [*missing, "api_key"]


KINDS: Mapping[str, type[Connection]] = MappingProxyType(
    {
        kind.TYPE: kind
        for kind in (
            OpenAIConnection,
            AzureOpenAIConnection,
            ServerlessConnection,
            AzureAIServicesConnection,
            CognitiveSearchConnection,
            AzureContentSafetyConnection,
            FormRecognizerConnection,
            SerpConnection,
            QdrantConnection,
            WeaviateConnection,
            LocalConnection,
            CustomConnection,
        )
    }
)
"""The kinds by the `type` of their YAML."""


def is_language_model(connection: Connection) -> bool:
    """Whether an llm node can ask it."""
    return connection.TYPE in ("open_ai", "azure_open_ai", "serverless", "local")
