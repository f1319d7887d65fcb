"""Calls of an embedded model whose process dies."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from promptflow_lite.connections.base import Secret
from promptflow_lite.tools.endpoint import Embedded, Endpoint
from promptflow_lite.tools.failure import ModelError
from promptflow_lite.tools.revival import reviving


class _Processes:
    """Processes of one model, one after the other."""

    def __init__(self) -> None:
        self.living: set[int] = set()
        self.started = 0

    async def again(self) -> Endpoint:
        if not self.living:
            self.started += 1
            self.living.add(self.started)
        number = max(self.living)
        embedded = Embedded("model", lambda: number in self.living, self.again)
        key = Secret("key-of-this-one")
        return Endpoint("local", f"{number}", None, (key,), timedelta(seconds=1), embedded=embedded)


def _gone() -> ModelError:
    return ModelError("connection lost", code="connection", retryable=True)


async def test_a_process_that_died_between_two_calls_is_started_again() -> None:
    processes = _Processes()
    endpoint = await processes.again()
    asked: list[str] = []

    async def ask(there: Endpoint) -> str:
        asked.append(there.base_url)
        return "answer"

    tried = reviving(endpoint, ask)
    assert await tried() == "answer"
    processes.living.clear()
    assert await tried() == "answer"
    assert asked == ["1", "2"]
    assert endpoint.identity == (await processes.again()).identity


async def test_a_call_during_which_it_dies_twice_is_given_up_and_the_next_one_is_answered() -> None:
    processes = _Processes()
    endpoint = await processes.again()

    async def deadly(there: Endpoint) -> str:
        processes.living.clear()
        raise _gone()

    tried = reviving(endpoint, deadly)
    with pytest.raises(ModelError) as first:
        await tried()
    with pytest.raises(ModelError) as second:
        await tried()
    assert (first.value.retryable, second.value.retryable) == (True, False)
    assert second.value.code == "connection"

    async def harmless(there: Endpoint) -> str:
        return there.base_url

    assert await reviving(endpoint, harmless)() == "3"


async def test_a_failure_of_a_process_that_lives_is_no_death() -> None:
    processes = _Processes()

    async def ask(there: Endpoint) -> str:
        raise _gone()

    tried = reviving(await processes.again(), ask)
    for _ in range(3):
        with pytest.raises(ModelError) as caught:
            await tried()
        assert caught.value.retryable
    assert processes.started == 1


async def test_what_is_not_ours_to_start_is_asked_as_it_is() -> None:
    endpoint = replace(await _Processes().again(), embedded=None)

    async def ask(there: Endpoint) -> bool:
        return there is endpoint

    assert await reviving(endpoint, ask)()
