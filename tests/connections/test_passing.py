"""Connections that are sent to another process arrive as they were."""

from __future__ import annotations

import json

from promptflow_lite.connections.base import Secret
from promptflow_lite.connections.kinds import CustomConnection, OpenAIConnection
from promptflow_lite.connections.passing import passed, received
from promptflow_lite.connections.store import Given
from promptflow_lite.errors import ConnectionNotFound

_MADE = Given(
    {
        "ours": OpenAIConnection("ours", api_key="sk-1", model="m", timeout=7.0, requests_per_minute=60),
        "custom": CustomConnection(
            "custom", configs={"url": "u"}, secrets={"k": "s"}, custom_type="T", module="m"
        ),
    }
)


def test_every_field_arrives_and_secrets_stay_secret() -> None:
    there = received(json.loads(json.dumps(passed(_MADE))), Given({}))
    ours, custom = there.get("ours"), there.get("custom")
    assert isinstance(ours, OpenAIConnection)
    assert isinstance(custom, CustomConnection)
    assert (ours.model, ours.timeout, ours.requests_per_minute) == ("m", 7.0, 60)
    assert isinstance(ours.api_key, Secret)
    assert "sk-1" not in repr(ours)
    assert (custom.configs, custom.secrets, custom.custom_type) == ({"url": "u"}, {"k": "s"}, "T")
    assert custom.custom_module == "m"


def test_only_those_that_are_named_are_sent() -> None:
    assert list(passed(_MADE, named_in="connection: ours")) == ["ours"]


def test_a_connection_that_is_broken_is_left_to_whoever_names_it() -> None:
    class Broken(Given):
        def get(self, name: str) -> OpenAIConnection:
            raise ConnectionNotFound(name)

    assert passed(Broken({"a": OpenAIConnection("a")})) == {}


def test_where_nothing_was_sent_the_others_are_all_there_is() -> None:
    behind = Given({})
    assert received({}, behind) is behind
