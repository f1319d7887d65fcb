"""The documentation is true: its commands parse, its walk-throughs run, its links lead somewhere.

A page runs from top to bottom in an empty folder. What a fence says after its language:

    ```yaml title="my_flow/flow.dag.yaml"    is written to that file; so is any language with a title
    ```sh                                    its lines that begin with `pf` run; `# exit code 2` tells the end
    ```sh model                              as before, where the small model's weights are
    ```python                                runs, in one namespace for the page; ```python model as above
    ```... skip                              is for reading
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer

from promptflow_lite.cli.main import GROUPS, command_tree, run
from tests.conftest import MODELS, ROOT

MODEL = "smollm2-135m"
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
WALKS = [
    "docs/tutorial.md",
    "docs/how-to/author-flows.md",
    "docs/how-to/flex-flows.md",
    "docs/how-to/prompty.md",
    "docs/how-to/models-and-connections.md",
    "docs/how-to/runs.md",
    "docs/how-to/long-runs.md",
    "docs/how-to/costs.md",
    "docs/how-to/retrieval.md",
    "docs/how-to/use-from-python.md",
    "docs/how-to/evaluate.md",
    "docs/how-to/compare.md",
    "docs/how-to/sweep.md",
    "docs/how-to/langchain.md",
    "docs/how-to/conversations.md",
    "docs/how-to/cite.md",
    "docs/how-to/tool-packages.md",
    "docs/compat.md",
    "docs/migrate.md",
    "docs/concepts/execution.md",
]


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    words: tuple[str, ...]
    title: str | None
    text: str
    line: int


def blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for fence in re.finditer(r"^```(\w+)([^\n]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        language, info, body = fence.groups()
        title = re.search(r'title="([^"]+)"', info)
        words = tuple(re.sub(r'title="[^"]+"', "", info).split())
        line = text[: fence.start()].count("\n") + 1
        yield Block(language, words, title.group(1) if title else None, body, line)


def commands_of(block: Block) -> Iterator[tuple[list[str], int]]:
    """Each `pf` command of a block, and the exit code that a comment says."""
    if block.language not in ("sh", "bash", "console", "shell"):
        return
    for line in block.text.replace("\\\n", " ").splitlines():
        line = line.strip().removeprefix("$ ")
        if not line.startswith(("pf ", "pfl ")):
            continue
        code = re.search(r"#.*exit code (\d+)", line)
        command = re.split(r"\s[|>]\s|\s2?>|&&", line)[0]
        yield shlex.split(command, comments=True)[1:], int(code.group(1)) if code else 0


def _names(pages: list[Path]) -> list[str]:
    return [str(page.relative_to(ROOT)) for page in pages]


def _parse(args: list[str]) -> None:
    """Read the options of a command without running it.

    Raises:
        typer.TyperException: there is no such command or option.
    """
    command: Any = command_tree()
    with contextlib.ExitStack() as stack, contextlib.redirect_stdout(io.StringIO()):
        context = None
        while True:
            if hasattr(command, "load"):
                command.load()
            name = args[0] if context is not None else "pf"
            if not hasattr(command, "commands"):
                with contextlib.suppress(typer.Exit):
                    command.make_context(name, args[1:], parent=context)
                return
            rest = args[1:] if context is not None else args
            if not rest or rest[0].startswith("-"):
                return
            context = stack.enter_context(
                command.make_context(name, [], parent=context, resilient_parsing=True)
            )
            command = command.commands.get(rest[0]) or pytest.fail(f"no such command: {rest[0]}")
            args = rest


@pytest.mark.parametrize("page", _names(PAGES))
def test_every_command_of_a_page_exists_as_it_is_written(page: str) -> None:
    for block in blocks_of(ROOT / page):
        for args, code in commands_of(block):
            if "..." in args or code == 2:
                continue
            try:
                _parse(args)
            except typer.TyperException as error:
                pytest.fail(f"{page}:{block.line}: pf {shlex.join(args)}: {error.format_message()}")


@pytest.mark.parametrize("page", _names(PAGES))
def test_every_python_block_compiles(page: str) -> None:
    for block in blocks_of(ROOT / page):
        if block.language == "python" and "skip" not in block.words:
            compile(block.text, f"{page}:{block.line}", "exec")


@pytest.mark.parametrize("page", _names(PAGES))
def test_every_link_inside_the_repository_leads_somewhere(page: str) -> None:
    text = re.sub(
        r"^```.*?^```$", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    missing = [
        link for link in links if "://" not in link and not (ROOT / page).parent.joinpath(link).exists()
    ]
    assert missing == []


@pytest.mark.parametrize("page", WALKS)
def test_a_walk_through_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PF_LOCAL_MODEL", MODEL)
    has_model = any(MODELS.glob(f"{MODEL}*.gguf"))
    names: dict[str, Any] = {"__name__": "page"}
    for block in blocks_of(ROOT / page):
        if "skip" in block.words or ("model" in block.words and not has_model):
            continue
        if block.title is not None:
            file = tmp_path / block.title
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            exec(compile(block.text, f"{page}:{block.line}", "exec"), names)
        else:
            for args, code in commands_of(block):
                assert run(command_tree(), "pf", args) == code, f"{page}:{block.line}: pf {shlex.join(args)}"


def test_the_reference_of_commands_is_up_to_date() -> None:
    names: dict[str, Any] = {"__name__": "generate", "__file__": str(ROOT / "docs" / "generate.py")}
    exec(
        compile((ROOT / "docs" / "generate.py").read_text(encoding="utf-8"), "docs/generate.py", "exec"),
        names,
    )
    written = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    assert written == names["reference"](), "run python docs/generate.py"
    names_of = (ROOT / "docs" / "compat.md").read_text(encoding="utf-8")
    assert names_of == names["compat"](), "run python docs/generate.py"


@pytest.mark.parametrize("group", GROUPS)
def test_the_examples_of_a_help_text_parse(group: str) -> None:
    commands: Any = command_tree().commands[group]
    for command in commands.load().commands.values():
        for line in (command.epilog or "").replace("\\\n", " ").splitlines():
            if line.strip().startswith("pf "):
                _parse(shlex.split(re.split(r"\s[|>]\s", line.strip())[0])[1:])
