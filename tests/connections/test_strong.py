"""Custom connections whose fields a class declares."""

from __future__ import annotations

import pytest

from promptflow_lite.compat.contracts.types import Secret
from promptflow_lite.connections.kinds import AzureOpenAIConnection, CustomConnection, OpenAIConnection
from promptflow_lite.connections.strong import CustomStrongTypeConnection, as_class
from promptflow_lite.errors import UserError


class Search(CustomStrongTypeConnection):
    api_key: Secret
    api_base: str = "https://declared"


class Deeper(Search):
    token: Secret


def test_a_custom_connection_becomes_one_of_the_class() -> None:
    found = as_class(
        CustomConnection("mine", configs={"api_base": "b"}, secrets={"api_key": "k-123"}), Search
    )
    assert isinstance(found, Search)
    assert (found.name, found.api_base, found.api_key) == ("mine", "b", "k-123")
    assert (found.secrets, found.configs) == ({"api_key": "k-123"}, {"api_base": "b"})
    assert "k-123" not in repr(found)


def test_a_declared_default_holds_where_nothing_is_set() -> None:
    assert as_class(CustomConnection("mine", secrets={"api_key": "k"}), Search).api_base == "https://declared"


def test_a_declared_secret_is_one_wherever_it_was_written() -> None:
    found = as_class(CustomConnection("mine", configs={"api_key": "k-123"}), Search)
    assert "k-123" not in repr(found)


def test_a_field_that_is_not_set_is_named_those_of_bases_too() -> None:
    with pytest.raises(ValueError, match="as Deeper: 'api_key', 'token' is not set"):
        as_class(CustomConnection("mine"), Deeper)


def test_fields_can_be_assigned() -> None:
    azure = AzureOpenAIConnection(name="a", api_key="old", api_base="x")
    azure.api_key, azure.api_base = "sk-1234", "y"
    assert (azure["api_key"], azure.api_base) == ("sk-1234", "y")
    assert "sk-1234" not in repr(azure)
    custom = CustomConnection("c", secrets={"k": "1"}, configs={"a": "b"})
    custom.configs["a"] = "z"
    custom.secrets["k"] = "2"
    assert dict(custom) == {"a": "z", "k": "2"}


def test_fields_of_ours_are_not_handed_to_clients_that_do_not_know_them() -> None:
    assert set(OpenAIConnection(name="o", api_key="k")) == {"api_key", "organization", "base_url"}
    assert OpenAIConnection(name="o", api_key="k", model="m").model == "m"


def test_a_connection_is_made_of_the_usual_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="OPENAI_API_KEY: not set"):
        OpenAIConnection.from_env()
    monkeypatch.setenv("OPENAI_API_KEY", "k-1234")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://x/v1")
    made = OpenAIConnection.from_env(name="mine")
    assert (made.name, made.api_key, made.base_url) == ("mine", "k-1234", "http://x/v1")
    with pytest.raises(UserError, match="AZURE_OPENAI_ENDPOINT, AZURE_OPENAI_API_KEY: not set"):
        AzureOpenAIConnection.from_env()
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://x")
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "a-1234")
    azure = AzureOpenAIConnection.from_env()
    assert (azure.api_base, azure.api_key, azure.api_version) == ("https://x", "a-1234", "2024-02-01")
