"""`pf flow`: which of Prompt flow's flows run here; a flex flow's file from its entry."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from promptflow_lite.cli.console import Group, emit, emit_json, neutral, paint, say
from promptflow_lite.cli.options import TextOutput
from promptflow_lite.errors import UserError

if TYPE_CHECKING:
    from promptflow_lite.api.compatibility import Finding, Verdict

app = Group("Make, check, try and look at flows.")

_WORDS: dict[Verdict, str] = {"runs": "runs", "warnings": "runs, with warnings", "fails": "does not run"}
_COUNTED: dict[Verdict, str] = {
    "runs": "run",
    "warnings": "run with warnings",
    "fails": "do not run",
}
_PAINTS: dict[str, Any] = {"runs": "green", "warnings": "yellow", "fails": "red"}


@app.command(
    "check-compat",
    examples="""
    pf flow check-compat my_flow
    pf flow check-compat ~/projects --quiet
    pf flow check-compat . --scripts --output json
    """,
)
def check_compat(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="FOLDER", help="Flows, or folders that hold flows anywhere below."),
    ],
    scripts: Annotated[
        bool, typer.Option("--scripts", help="Scripts and notebooks that import promptflow too.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only what does not run.")] = False,
    output: Annotated[
        TextOutput, typer.Option("--output", "-o", help="How the result is written.")
    ] = TextOutput.text,
) -> int:
    """Say which flows run here, which with a warning, and which not and why: file, line and mistake.

    Nothing is run or imported: YAML, templates and Python are read. A connection or a package that is not on
    this machine is a warning. Exit code 0: every flow runs; 3: at least one does not; 2: there are none.
    """
    from promptflow_lite.api import compatibility

    found = [compatibility.survey(path) for path in compatibility.find_flows(folders)]
    if scripts:
        found += [compatibility.survey_script(path) for path in compatibility.find_scripts(folders)]
    if not found:
        raise UserError(
            f"there is no flow in {', '.join(map(str, folders))}",
            code="flow-not-found",
            hint="a flow is a flow.dag.yaml, a flow.flex.yaml or a .prompty file",
        )
    if output is TextOutput.json:
        emit_json([_as_json(finding) for finding in found])
    else:
        for finding in found:
            if finding.verdict == "fails" or not quiet:
                _show(finding)
        counts = Counter(finding.verdict for finding in found)
        said = ", ".join(f"{counts[key]} {word}" for key, word in _COUNTED.items() if counts[key])
        noun = "file" if scripts else "flow"
        emit(f"{len(found)} {noun}{'s' * (len(found) != 1)}: {said}")
    return 3 if any(finding.verdict == "fails" for finding in found) else 0


def _show(finding: Finding) -> None:
    import sys

    word = paint(f"{_WORDS[finding.verdict]:20}", _PAINTS[finding.verdict], stream=sys.stdout)
    emit(f"{word} {neutral(str(finding.path))}")
    for diagnostic in finding.diagnostics:
        place = f"{diagnostic.mark}: " if diagnostic.mark else ""
        hint = f" ({diagnostic.hint})" if diagnostic.hint else ""
        emit(neutral(f"  {place}{diagnostic.severity}[{diagnostic.code}]: {diagnostic.message}{hint}"))


def _as_json(finding: Finding) -> dict[str, Any]:
    from promptflow_lite.cli.checking import as_json

    complaints = [as_json(diagnostic) for diagnostic in finding.diagnostics]
    return {"path": str(finding.path), "verdict": finding.verdict, "complaints": complaints}


@app.command(
    "save",
    examples="""
    pf flow save --entry intent:extract_intent
    pf flow save --entry intent:extract_intent --code src --path my_flow
    """,
)
def save(
    entry: Annotated[
        str, typer.Option("--entry", metavar="MODULE:NAME", help="A function, or a class, in the code.")
    ],
    code: Annotated[
        Path | None, typer.Option("--code", metavar="DIR", help="The folder of the code.  [default: here]")
    ] = None,
    path: Annotated[
        Path | None,
        typer.Option("--path", metavar="DIR", help="Copy the code there, and write the file beside it."),
    ] = None,
) -> None:
    """Make a function or a class a flow: write flow.flex.yaml for it. The code is read, not imported."""
    from promptflow_lite.api.saving import save_flex

    say(f"wrote {save_flex(entry, code=code or Path(), path=path)}")
    say(f"\nnext:\n  pf flow test --flow {path or code or Path()}")
