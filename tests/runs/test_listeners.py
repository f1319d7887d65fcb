"""Listeners: told of everything, and never able to end a run."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

import pytest

from promptflow_lite import registry
from promptflow_lite.engine.events import Log
from promptflow_lite.runs.events import RunEvent
from promptflow_lite.runs.listeners import heard

HEARD: list[RunEvent] = []


class Ear:
    def __call__(self, event: RunEvent) -> None:
        HEARD.append(event)

    def close(self) -> str | None:
        return "the ear is full"


class Broken:
    def __call__(self, event: RunEvent) -> None:
        raise RuntimeError("no")

    def close(self) -> str | None:
        raise AssertionError("it was told nothing more")


def nothing() -> None:
    """A listener with nothing to tell."""


@pytest.fixture
def _plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    group = "promptflow_lite.listeners"
    names = {"ear": "Ear", "broken": "Broken", "nothing": "nothing", "absent": "NotThere"}
    points = {name: EntryPoint(name, f"{__name__}:{value}", group) for name, value in names.items()}
    monkeypatch.setattr(registry, "_points", lambda asked: points if asked == group else {})


@pytest.mark.usefixtures("_plugins")
def test_a_listener_is_told_and_a_broken_one_is_let_go() -> None:
    HEARD.clear()
    said: list[Any] = []
    with heard(said.append) as emit:
        emit(Log("one"))
        emit(Log("two"))
    assert [event.text for event in HEARD if isinstance(event, Log)] == ["one", "two"]
    texts = [event.text for event in said]
    assert [text for text in texts if text in ("one", "two")] == ["one", "two"]
    assert sum("'broken' failed" in text for text in texts) == 1
    assert sum("'absent' failed" in text for text in texts) == 1
    assert texts[-1] == "the ear is full"
