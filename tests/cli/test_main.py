"""The one boundary: what a command raises becomes text and an exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.main import get_group

from promptflow_lite.cli.command import Group
from promptflow_lite.cli.main import GROUPS, command_tree, main, run
from promptflow_lite.errors import Diagnostic, FlowError, Mark, NodeError, UserError


def _code_of(problem: BaseException | int | None) -> int:
    app = Group("Raise.")

    @app.command("go")
    def go() -> int | None:
        """Raise what is asked for."""
        if isinstance(problem, BaseException):
            raise problem
        return problem

    return run(get_group(app), "pf", ["go"])


@pytest.mark.parametrize(
    ("problem", "code"),
    [
        (None, 0),
        (0, 0),
        (1, 1),
        (3, 3),
        (UserError("wrong"), 2),
        (FlowError([Diagnostic("cycle", "a reads a", Mark("f.yaml", 1, 1))]), 2),
        (NodeError("the model is away"), 1),
        (KeyboardInterrupt(), 130),
        (typer.Exit(4), 4),
        (ZeroDivisionError("division"), 1),
    ],
)
def test_every_ending_has_its_exit_code(problem: BaseException | int | None, code: int) -> None:
    assert _code_of(problem) == code


def test_a_users_error_is_told_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    _code_of(UserError("inputs.k: expected an int, got 'three'", hint="k=3"))
    assert capsys.readouterr() == ("", "inputs.k: expected an int, got 'three'\n  k=3\n")


def test_a_bug_shows_its_traceback_and_says_that_it_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    _code_of(ZeroDivisionError("division"))
    text = capsys.readouterr().err
    assert "Traceback" in text and "test_main.py" in text
    assert text.endswith("this is a bug in promptflow_lite; a report with the lines above helps to mend it\n")


def test_a_file_that_cannot_be_written_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert _code_of(PermissionError(13, "Permission denied", "/etc/x")) == 1
    assert capsys.readouterr().err == "/etc/x: Permission denied\n"


def test_an_interrupt_shows_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    _code_of(KeyboardInterrupt())
    assert capsys.readouterr() == ("", "\n")


def test_an_error_text_cannot_drive_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    _code_of(UserError("no input is named '\x1b[2J'"))
    assert capsys.readouterr().err == "no input is named '\\x1b[2J'\n"


@pytest.mark.parametrize("args", [["flwo"], ["--imputs"], ["flow", "tset"], ["flow", "validate"]])
def test_wrong_use_is_exit_code_2_and_points_to_the_help(
    args: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(args)
    out, err = capsys.readouterr()
    assert (ended.value.code, out) == (2, "")
    assert "--help' says how it is used" in err


def test_a_wrong_choice_is_told_with_the_choices_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "list", "--output", "tabel"])
    assert "'--output' / '-o': 'tabel' is not one of 'table', 'json'." in capsys.readouterr().err


def test_a_mistyped_command_gets_the_near_miss(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["flow", "validte"])
    assert "Did you mean 'validate'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    "args", [[], ["--help"], ["-h"], ["flow"], ["flow", "--help"], ["flow", "test", "-h"]]
)
def test_help_is_on_stdout_with_exit_code_0(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(args)
    out, err = capsys.readouterr()
    assert (ended.value.code, err) == (0, "")
    assert out.startswith("Usage: pf")


@pytest.mark.parametrize("option", ["--version", "-v"])
def test_the_version_is_one_line(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([option])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("promptflow_lite 0.")


def test_every_group_has_a_module_with_commands_that_say_what_they_do() -> None:
    tree = command_tree()
    for name in GROUPS:
        group = tree.commands[name]
        assert group.load().commands, name  # type: ignore[attr-defined]  # a LazyGroup
        for command in group.commands.values():  # type: ignore[attr-defined]
            assert command.help, f"{name} {command.name}"


def test_a_reader_that_leaves_ends_the_command_quietly() -> None:
    command = f"{sys.executable} -m promptflow_lite flow test --help | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert done.returncode in (0, 141)
    assert done.stderr == ""


@pytest.mark.parametrize(
    "environ", [{"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "POSIX", "PYTHONUTF8": "0"}]
)
def test_output_is_utf_8_whatever_the_locale(environ: dict[str, str]) -> None:
    code = "from promptflow_lite.cli import console; console.use_utf8(); console.emit('\\u6771\\u4eac')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env={**os.environ, **environ}, timeout=60
    )
    assert done.stdout == "東京\n".encode()


@pytest.mark.parametrize(
    ("words", "expected"),
    [("pf ", list(GROUPS)), ("pf flow v", ["validate"]), ("pf flow test --inter", ["--interactive"])],
)
def test_the_shell_completes_groups_commands_and_options(words: str, expected: list[str]) -> None:
    assert completed(words) == expected


def test_the_shell_completes_the_names_of_connections(home: Path) -> None:
    (home / "connections").mkdir()
    (home / "connections" / "mine.yaml").write_text("type: open_ai\napi_key: ${env:KEY}\n")
    assert completed("pf connection show --name m") == ["mine"]


def completed(words: str) -> list[str]:
    """What the shell offers for the last of `words`."""
    environ = {"_PF_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    code = "import sys; sys.argv = ['pf']; from promptflow_lite.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **environ},
        timeout=60,
    )
    return done.stdout.split()
