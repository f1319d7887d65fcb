"""What keeps a shared server of the embedded model alive, and who may ask whether it is."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from promptflow_lite.integrations.local_shared import Shared, can_share

pytestmark = pytest.mark.skipif(not can_share(), reason="needs named pipes and flock")


def test_many_threads_ask_at_once_whether_the_server_runs(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    server = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    shared = Shared({}, os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
    try:
        with ThreadPoolExecutor(16) as threads:
            answers = list(threads.map(lambda _: shared.is_running, range(50_000)))
        assert set(answers) == {True}
        os.close(server)
        assert not shared.is_running
    finally:
        shared.close()
    assert not shared.is_running
