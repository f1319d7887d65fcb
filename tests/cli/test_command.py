"""Options of a command: greedy values, pairs, overrides, examples."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.main import get_group
from typer.testing import CliRunner

from promptflow_lite.cli.command import Group, overrides, pairs, spread, written_out
from promptflow_lite.errors import UserError


def _seen(args: list[str]) -> object:
    app = Group("Try options.")
    seen: list[object] = []

    @app.command("go", examples="pf x go --inputs a=1\npf x go")
    def go(
        name: Annotated[str, typer.Argument()] = "",
        inputs: Annotated[list[str] | None, typer.Option()] = None,
        count: Annotated[int, typer.Option()] = 0,
        quick: Annotated[bool, typer.Option("--quick", "-q")] = False,
    ) -> None:
        """Go."""
        seen.append((name, inputs, count, quick))

    result = CliRunner().invoke(app, ["go", *args] if len(app.registered_commands) > 1 else args)
    return seen[0] if seen else result.output


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["--inputs", "a=1", "b=2"], ("", ["a=1", "b=2"], 0, False)),
        (["--inputs", "a=1", "--inputs", "b=2"], ("", ["a=1", "b=2"], 0, False)),
        (["--inputs=a=1"], ("", ["a=1"], 0, False)),
        (["--inputs", "a=-1", "b=", "--count", "3"], ("", ["a=-1", "b="], 3, False)),
        (["here", "--inputs", "a=1", "-q"], ("here", ["a=1"], 0, True)),
        (
            ["--inputs", "x=${data.q}", "y=日本語 です", "--", "there"],
            ("there", ["x=${data.q}", "y=日本語 です"], 0, False),
        ),
    ],
)
def test_a_list_option_takes_all_values_up_to_the_next_option(args: list[str], expected: object) -> None:
    assert _seen(args) == expected


def test_a_list_option_without_a_value_is_wrong_use() -> None:
    assert "requires an argument" in str(_seen(["--inputs"]))


def test_examples_are_printed_line_by_line() -> None:
    text = str(_seen(["--help"]))
    assert "Examples:\n  pf x go --inputs a=1\n  pf x go\n" in text


def test_options_that_are_not_greedy_stay_as_they_are() -> None:
    assert spread(["--node", "a", "b"], {"--inputs"}) == ["--node", "a", "b"]


def test_pairs_split_at_the_first_equals_sign() -> None:
    assert pairs(["q=a=b", "e="], "--inputs") == {"q": "a=b", "e": ""}


def test_quotes_around_a_pair_or_its_value_are_left_out() -> None:
    found = pairs(["'a=1'", 'b="two words"', "c='", 'd=["x"]'], "--inputs")
    assert found == {"a": "1", "b": "two words", "c": "'", "d": '["x"]'}


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["--env"], ["--environment-variables"]),
        (["--env=a.env"], ["--environment-variables=a.env"]),
        (["--name", "x"], ["--name", "x"]),
        (["--na", "x"], ["--na", "x"]),
        (["-e"], ["-e"]),
        (["--", "--env"], ["--", "--env"]),
    ],
)
def test_the_beginning_of_one_option_means_it(typed: list[str], meant: list[str]) -> None:
    assert written_out(typed, {"--environment-variables", "--name", "--names"}) == meant


@pytest.mark.parametrize("texts", [["q"], ["=x"], ["q=1", "q=2"]])
def test_pairs_name_the_option_and_the_text_that_is_wrong(texts: list[str]) -> None:
    with pytest.raises(UserError, match=r"--inputs: .*(q|x)") as caught:
        pairs(texts, "--inputs")
    assert caught.value.code == "bad-option"


def test_overrides_are_grouped_by_node() -> None:
    found = overrides(["answer.connection=mine", "answer.model=m.gguf", "b.connection=x"])
    assert found == {"answer": {"connection": "mine", "model": "m.gguf"}, "b": {"connection": "x"}}


@pytest.mark.parametrize("text", ["connection=x", ".connection=x", "answer.=x"])
def test_an_override_without_node_or_key_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"expected node\.key=value"):
        overrides([text])


def test_a_group_with_one_command_is_still_a_group() -> None:
    app = Group("One.")
    app.command("only")(lambda: None)
    assert list(get_group(app).commands) == ["only"]


class _Colour(StrEnum):
    red = "red"
    blue = "blue"


@pytest.mark.parametrize(
    ("typed", "code", "out"),
    [
        (
            ["--colour", "blue", "--paths", "a", "b", "--count", "3"],
            0,
            "<_Colour.blue: 'blue'> ['a', 'b'] 3\n",
        ),
        ([], 0, "None None None\n"),
        (["--colour", "green"], 2, ""),
        (["--count", "x"], 2, ""),
    ],
)
def test_plain_values_are_read_as_what_they_are(typed: list[str], code: int, out: str) -> None:
    app = Group("Read.")

    @app.command("it")
    def it(
        colour: Annotated[_Colour | None, typer.Option("--colour")] = None,
        paths: Annotated[list[Path] | None, typer.Option("--paths")] = None,
        count: Annotated[int | None, typer.Option("--count")] = None,
    ) -> None:
        print(repr(colour), [str(path) for path in paths] if paths else None, count)

    ended = CliRunner().invoke(app, typed)
    assert (ended.exit_code, ended.stdout) == (code, out)
