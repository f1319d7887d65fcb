"""`pf flow key`, and the options of `pf flow serve`."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from promptflow_lite.cli.main import main
from promptflow_lite.serving.keys import Keys


@pytest.fixture(autouse=True)
def log() -> Iterator[None]:
    """The command takes over the log of its process; give it back."""
    logger = logging.getLogger("promptflow_lite")
    before = (logger.handlers, logger.propagate, logger.level)
    yield
    logger.handlers, logger.propagate, level = before
    logger.setLevel(level)


def _run(*args: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(args)
    return int(str(ended.value.code or 0))


def test_two_keys_are_made_shown_once_and_kept_as_hashes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "keys"
    assert _run("flow", "key", "--key-file", str(file)) == 0
    one, two = capsys.readouterr().out.split()
    assert one not in file.read_text()
    keys = Keys(file=file)
    assert keys.admit(one.encode())
    assert keys.admit(two.encode())
    assert not keys.admit(b"another")


def test_one_key_is_replaced_and_the_other_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "keys"
    _run("flow", "key", "--key-file", str(file))
    one, two = capsys.readouterr().out.split()
    assert _run("flow", "key", "--key-file", str(file), "--replace", "1") == 0
    (fresh,) = capsys.readouterr().out.split()
    keys = Keys(file=file)
    assert [keys.admit(key.encode()) for key in (one, two, fresh)] == [False, True, True]


def test_a_key_file_is_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "keys"
    _run("flow", "key", "--key-file", str(file))
    before = file.read_text()
    assert _run("flow", "key", "--key-file", str(file)) == 2
    assert file.read_text() == before
    assert "--replace 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--source", "nowhere"), "there is nothing at"),
        (("--source", "nowhere", "--key-file", "nowhere"), "pf flow key --key-file"),
        (("--source", "nowhere", "--port", "70000"), "65535"),
        (("--source", "nowhere", "--engine", "gunicorn"), "gunicorn"),
    ],
)
def test_wrong_options_are_said_with_exit_code_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    args: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    more = () if "--port" in args else ("--port", "0")
    assert _run("flow", "serve", *args, *more) == 2
    assert said in capsys.readouterr().err
