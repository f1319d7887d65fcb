"""What goes to stdout and what a stranger's text can do there."""

from __future__ import annotations

import io
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptflow_lite.cli.console import emit_json, is_interactive, neutral, paint, say, table
from promptflow_lite.cli.progress import Progress


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@given(st.text())
def test_neutral_text_has_no_control_character_but_tab_and_newline(text: str) -> None:
    kept = [c for c in neutral(text) if ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 or "\u202a" <= c <= "\u202e"]
    assert set(kept) <= {"\t", "\n"}


def test_neutral_leaves_plain_text_in_any_language_alone() -> None:
    assert neutral("Grüße, 東京。\n\tok 🎌") == "Grüße, 東京。\n\tok 🎌"


@given(st.text())
def test_emitted_json_reads_back_equal_and_drives_no_terminal(text: str) -> None:
    out = io.StringIO()
    stdout, sys.stdout = sys.stdout, out
    try:
        emit_json({"text": text})
    finally:
        sys.stdout = stdout
    written = out.getvalue()
    assert json.loads(written) == {"text": text}
    assert not any(0x7F <= ord(c) < 0xA0 or "\u202a" <= c <= "\u202e" or c == "\x1b" for c in written)


def test_json_is_indented_by_four_and_keeps_characters(capsys: pytest.CaptureFixture[str]) -> None:
    emit_json({"answer": "東京"})
    assert capsys.readouterr().out == '{\n    "answer": "東京"\n}\n'


def test_say_writes_to_stderr_only(capsys: pytest.CaptureFixture[str]) -> None:
    say("hello")
    assert capsys.readouterr() == ("", "hello\n")


def test_a_table_lines_up_full_width_characters(capsys: pytest.CaptureFixture[str]) -> None:
    table(["name", "n"], [["東京", 1], ["a\x1b[2J\nb", None]])
    assert capsys.readouterr().out == "name        n\n東京        1\na\\x1b[2J b\n"


def test_a_table_without_rows_shows_its_columns(capsys: pytest.CaptureFixture[str]) -> None:
    table(["name", "status"], [])
    assert capsys.readouterr().out == "name  status\n"


def test_colours_need_a_terminal_and_bow_to_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert paint("x", "red", stream=_Terminal()) == "\x1b[31mx\x1b[0m"
    assert paint("x", "red", stream=io.StringIO()) == "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert paint("x", "red", stream=_Terminal()) == "x"


def test_a_dumb_terminal_is_not_interactive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", _Terminal())
    monkeypatch.setenv("TERM", "dumb")
    assert not is_interactive()
    monkeypatch.setenv("TERM", "xterm")
    assert is_interactive()


def test_progress_tells_rate_failures_and_time_left() -> None:
    bar = Progress("lines", 200, stream=None)
    bar.advance(50, failed=2)
    assert bar.text(10.0) == "[######------------------]  50/200 lines  2 failed  5.0/s  0:30 left"


def test_progress_at_the_end_tells_the_time_taken() -> None:
    bar = Progress("lines", 2, stream=None)
    bar.advance(2)
    assert bar.text(3700.0).endswith("2/2 lines  0.0/s  1:01:40")


def test_progress_before_the_first_line_claims_nothing() -> None:
    assert Progress("lines", 2, stream=None).text(0.0).endswith("0/2 lines  0.0/s  -- left")


def test_progress_draws_on_its_stream_and_ends_the_line() -> None:
    stream = io.StringIO()
    with Progress("lines", 1, stream=stream) as bar:
        bar.advance()
    assert "1/1 lines" in stream.getvalue()
    assert stream.getvalue().endswith("\n")
