from __future__ import annotations

import os
import sys
from pathlib import Path

from promptflow_lite.tools.home import Home


def test_the_last_one_in_says_where_we_are(tmp_path: Path) -> None:
    a, b, here = tmp_path / "a", tmp_path / "b", Path.cwd()
    a.mkdir()
    b.mkdir()
    first, second, again = Home(a), Home(b), Home(a)
    first.__enter__()
    assert (Path.cwd(), sys.path[0]) == (a, str(a))
    second.__enter__()
    assert Path.cwd() == b
    again.__enter__()
    first.__exit__(None, None, None)
    assert Path.cwd() == b
    second.__exit__(None, None, None)
    assert Path.cwd() == a
    again.__exit__(None, None, None)
    assert Path.cwd() == here
    assert str(a) not in sys.path


def test_streams_are_put_back_and_pass_on_what_is_not_a_nodes(tmp_path: Path) -> None:
    out = sys.stdout
    with Home(tmp_path):
        assert sys.stdout is not out
        assert sys.stdout.encoding == out.encoding
        sys.stdout.writelines(["passed on\n"])
    assert sys.stdout is out


def test_a_stream_that_somebody_else_put_there_stays(tmp_path: Path) -> None:
    out = sys.stdout
    other = open(os.devnull, "w")  # noqa: SIM115, PTH123  closed below
    try:
        with Home(tmp_path):
            sys.stdout = other
        assert sys.stdout is other
    finally:
        sys.stdout = out
        other.close()


def test_a_home_that_vanished_can_be_left(tmp_path: Path) -> None:
    here = Path.cwd()
    gone = tmp_path / "gone"
    gone.mkdir()
    with Home(gone):
        gone.rmdir()
        with Home(tmp_path):
            pass
    assert Path.cwd() == here
