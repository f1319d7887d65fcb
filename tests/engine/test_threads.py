from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from promptflow_lite.engine.threads import in_thread


async def test_what_a_function_returns_and_raises_comes_back() -> None:
    assert await in_thread(lambda x: x + 1, {"x": 1}) == 2
    with pytest.raises(KeyError):
        await in_thread(lambda known: known["x"], {"known": {}})


async def test_stop_iteration_and_exits_come_back_too() -> None:
    def leave(error: BaseException) -> None:
        raise error

    with pytest.raises(SystemExit):
        await in_thread(leave, {"error": SystemExit(3)})
    with pytest.raises(RuntimeError) as raised:  # Python's rule for coroutines
        await in_thread(leave, {"error": StopIteration()})
    assert isinstance(raised.value.__cause__, StopIteration)


async def test_one_call_after_another_takes_one_thread() -> None:
    await in_thread(int, {})
    names = {await in_thread(threading.get_ident, {}) for _ in range(20)}
    assert len(names) == 1


async def test_the_answer_of_a_cancelled_call_is_dropped() -> None:
    release, done = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    wrong: list[object] = []
    loop.set_exception_handler(lambda loop, context: wrong.append(context))
    call = asyncio.create_task(in_thread(release.wait, {"timeout": 5}))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    release.set()
    loop.call_later(0.2, done.set)
    await done.wait()
    assert wrong == []
    assert await in_thread(lambda: 1, {}) == 1


def test_a_stuck_tool_does_not_hold_the_exit_of_the_process() -> None:
    code = (
        "import asyncio, time\n"
        "from promptflow_lite.engine.threads import in_thread\n"
        "async def main():\n"
        "    try:\n"
        "        await asyncio.wait_for(in_thread(lambda: time.sleep(600), {}), 0.05)\n"
        "    except TimeoutError:\n"
        "        print('left')\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "left\n"
