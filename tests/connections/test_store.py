"""Connections come from files, then from the environment; `local` is always there."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptflow_lite.connections.kinds import (
    AzureOpenAIConnection,
    CustomConnection,
    LocalConnection,
    OpenAIConnection,
)
from promptflow_lite.connections.store import Connections, Given, default_connection
from promptflow_lite.errors import ConnectionNotFound, UserError


def keep(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.yaml").write_text(text, encoding="utf-8")


def test_a_file_gives_its_connection_with_prompt_flows_attributes(tmp_path: Path) -> None:
    keep(
        tmp_path,
        "azure",
        "$schema: x\nname: azure\ntype: azure_open_ai\napi_base: https://a\napi_key: sk-1234\n",
    )
    connection = Connections(tmp_path, {}).get("azure")
    assert isinstance(connection, AzureOpenAIConnection)
    assert (connection.api_base, connection["api_key"], connection.api_version) == (
        "https://a",
        "sk-1234",
        "2024-02-01",
    )
    assert dict(**connection)["api_type"] == "azure"
    assert connection.secrets == {"api_key": "sk-1234"}


def test_no_secret_is_in_any_text_of_a_connection() -> None:
    connection = OpenAIConnection("x", api_key="sk-1234")
    custom = CustomConnection("y", configs={"a": "b"}, secrets={"key": "sk-1234"})
    shown = repr([connection, dict(connection), connection.api_key, custom, dict(custom), custom.secrets])
    assert "sk-1234" not in shown
    assert "***" in shown


def test_a_variable_is_resolved_in_any_field_when_the_connection_is_asked_for(tmp_path: Path) -> None:
    keep(tmp_path, "mine", 'type: open_ai\nbase_url: "http://${env:HOST}/v1"\napi_key: ${env:KEY}\n')
    connection = Connections(tmp_path, {"HOST": "127.0.0.1:1", "KEY": "k-12345"}).get("mine")
    assert (connection.base_url, connection.api_key) == ("http://127.0.0.1:1/v1", "k-12345")
    with pytest.raises(UserError, match=r"connection 'mine', field 'base_url'.*'HOST'") as caught:
        Connections(tmp_path, {"KEY": "k"}).get("mine")
    assert caught.value.code == "unset-variable"


def test_a_wrong_file_is_complained_about_at_its_lines_all_at_once(tmp_path: Path) -> None:
    keep(tmp_path, "bad", "type: azure_open_ai\napi_bas: x\napi_key: [1]\n")
    with pytest.raises(UserError) as caught:
        Connections(tmp_path, {}).get("bad")
    text = str(caught.value)
    assert "bad.yaml:2:1" in text
    assert "did you mean 'api_base'?" in text
    assert "bad.yaml:3:1" in text
    assert "needs 'api_base'" in text


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("type: open_aj\napi_key: x\n", "bad-connection"),
        ("api_key: x\n", "bad-connection"),
        ("- type\n", "bad-connection"),
        ("type: open_ai\ntype: open_ai\n", "bad-yaml"),
        ("type: [open_ai\n", "bad-yaml"),
        ("type: local\nn_ctx: many\n", "bad-connection"),
        ("type: local\nparallel: 0\n", "bad-connection"),
    ],
)
def test_what_is_no_connection_is_refused(tmp_path: Path, text: str, code: str) -> None:
    keep(tmp_path, "bad", text)
    with pytest.raises(UserError) as caught:
        Connections(tmp_path, {}).get("bad")
    assert caught.value.code == code


def test_the_usual_variables_make_connections(tmp_path: Path) -> None:
    environ = {
        "OPENAI_API_KEY": "sk-1",
        "OPENAI_BASE_URL": "http://x/v1",
        "OPENAI_ORG_ID": "org",
        "AZURE_OPENAI_ENDPOINT": "https://y",
        "AZURE_OPENAI_API_KEY": "az-1",
        "OPENAI_API_VERSION": "2024-10-21",
    }
    store = Connections(tmp_path / "none", environ)
    assert store.names() == ["azure_open_ai_connection", "local", "open_ai_connection"]
    openai, azure = store.get("open_ai_connection"), store.get("azure_open_ai_connection")
    assert (openai.api_key, openai.base_url, openai.organization) == ("sk-1", "http://x/v1", "org")
    assert (azure.api_base, azure.api_key, azure.api_version) == ("https://y", "az-1", "2024-10-21")


def test_an_azure_endpoint_without_a_key_is_asked_with_a_token(tmp_path: Path) -> None:
    azure = Connections(tmp_path, {"AZURE_OPENAI_ENDPOINT": "https://y"}).get("azure_open_ai_connection")
    assert azure.auth_mode == "meid_token"


def test_variables_named_after_a_connection_make_it(tmp_path: Path) -> None:
    environ = {
        "MY_CONN_API_KEY": "k-1",
        "MY_CONN_API_BASE": "https://z",
        "SEARCH_TYPE": "cognitive_search",
        "SEARCH_API_BASE": "https://s",
        "SEARCH_API_KEY": "k-2",
    }
    store = Connections(tmp_path, environ)
    assert store.get("my-conn").TYPE == "azure_open_ai"
    assert store.get("search").TYPE == "cognitive_search"
    assert "search" in store.names()


def test_what_a_file_leaves_to_a_person_comes_from_the_environment_in_a_container(tmp_path: Path) -> None:
    keep(tmp_path, "mine", "type: open_ai\napi_key: <user-input>\n")
    assert Connections(tmp_path, {"MINE_API_KEY": "k-9"}).get("mine").api_key == "k-9"


def test_a_file_comes_before_the_environment(tmp_path: Path) -> None:
    keep(tmp_path, "open_ai_connection", "type: open_ai\napi_key: from-file\n")
    store = Connections(tmp_path, {"OPENAI_API_KEY": "from-environment"})
    assert store.get("open_ai_connection").api_key == "from-file"


def test_a_name_that_is_not_there_says_which_are(tmp_path: Path) -> None:
    with pytest.raises(ConnectionNotFound) as caught:
        Connections(tmp_path, {"OPENAI_API_KEY": "k"}).get("lokal")
    assert caught.value.known == ("local", "open_ai_connection")


def test_the_default_is_the_first_in_files_then_the_environment_then_local(tmp_path: Path) -> None:
    folder = tmp_path / "connections"
    environ = {"OPENAI_API_KEY": "k"}
    assert default_connection(Connections(folder, {}))[0].TYPE == "local"
    assert default_connection(Connections(folder, environ))[0].name == "open_ai_connection"
    keep(folder, "a_search", "type: serp\napi_key: x\n")
    keep(folder, "b_azure", "type: azure_open_ai\napi_base: https://x\napi_key: y\n")
    connection, why = default_connection(Connections(folder, environ))
    assert connection.name == "b_azure"
    assert why == "the first configured connection (of 2 that are configured)"


def test_a_process_may_choose_the_embedded_model(tmp_path: Path) -> None:
    keep(tmp_path, "other", "type: local\nmodel: qwen2.5-coder-1.5b\n")
    store = Connections(tmp_path, {}, model="smollm2-135m")
    assert store.get("local").model == "smollm2-135m"
    assert store.get("other").model == "qwen2.5-coder-1.5b"


def test_connections_made_in_python_come_before_others(tmp_path: Path) -> None:
    mine = OpenAIConnection("mine", api_key="k")
    given = Given({"mine": mine}, Connections(tmp_path, {}))
    assert given.get("mine") is mine
    assert isinstance(given.get("local"), LocalConnection)
    assert given.names() == ["local", "mine"]


def test_a_server_of_ones_own_needs_no_key_and_openai_does() -> None:
    assert OpenAIConnection.missing({"base_url": "http://127.0.0.1:1/v1"}) == []
    assert OpenAIConnection.missing({}) == ["api_key"]
    assert AzureOpenAIConnection.missing({"api_base": "x", "auth_mode": "meid_token"}) == []
