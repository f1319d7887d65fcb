"""What comes of one line? `pf flow test`: load, bind, run, show, and keep a record beside the flow."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from promptflow_lite.api.flows import LoadedFlow, Tested, load_flow
from promptflow_lite.cli.command import overrides, pairs
from promptflow_lite.cli.console import emit_json, is_interactive, neutral, paint, say, say_safely
from promptflow_lite.cli.failures import complain, show_failure
from promptflow_lite.cli.records import Records
from promptflow_lite.engine.events import Event, NodeEnded
from promptflow_lite.engine.line import run_node
from promptflow_lite.engine.results import Status
from promptflow_lite.errors import UserError, near_miss
from promptflow_lite.flow.spec import Node
from promptflow_lite.flow.types import coerce_inputs
from promptflow_lite.runs.images import KeptImages

__all__ = ["Trial", "given_inputs"]


class Trial:
    """A flow that is being tried, and the record of it."""

    def __init__(self, loaded: LoadedFlow) -> None:
        self.loaded = loaded
        self.records = Records(loaded.flow.folder / ".promptflow")
        self.images = KeptImages(loaded.flow.folder, loaded.flow.message_format, ".promptflow/images")

    @classmethod
    def of(
        cls,
        source: Path,
        *,
        variant: str | None,
        connections: Sequence[str] | None,
        environment_variables: Sequence[str] | None,
        init: Sequence[str] | None = None,
        node: str | None = None,
    ) -> Trial:
        """The flow at `source`, with warnings said, and its nodes bound, or the one `node`.

        Raises:
            UserError: the flow, an option, a tool or a connection is wrong.
        """
        loaded = load_flow(
            source,
            variant=variant,
            connections=overrides(connections),
            environment_variables=_variables(environment_variables),
            init=_init(init),
        )
        complain(loaded.warnings)
        if node in [known.name for known in loaded.flow.nodes]:
            loaded = loaded.alone(str(node))
        with contextlib.redirect_stdout(sys.stderr):
            notes = loaded.bound.notes
        for note in notes:
            say_safely(note)
        return cls(loaded)

    def test_flow(self, given: Sequence[str] | None, *, whole: bool) -> int:
        """Run the flow once, aggregation nodes included; the exit code."""
        flow = self.loaded.bound.flow  # of a flex flow, binding tells exactly what it takes
        inputs, warnings = coerce_inputs(flow, given_inputs(given) or flow.sample, _folders(given))
        for warning in warnings:
            say_safely(f"warning: {warning}")
        with contextlib.redirect_stdout(sys.stderr):
            line, aggregation = asyncio.run(self._run(inputs))
        tested = Tested(self.images.keep(line), aggregation and self.images.kept(aggregation))
        self.records.keep_flow(tested)
        _show(tested)
        if whole:
            emit_json(self.records.of(tested))
        elif tested.line.status is Status.Completed:
            emit_json(tested.line.outputs)
        failed = tested.aggregation is not None and tested.aggregation.error is not None
        return 1 if failed or tested.line.status is not Status.Completed else 0

    async def _run(self, inputs: Mapping[str, Any]) -> Tested:
        try:
            return await self.loaded.atest(inputs, emit=show_progress)
        finally:
            await self.loaded.aclose()

    def test_node(self, name: str, given: Sequence[str] | None, *, whole: bool) -> int:
        """Run one node; the exit code."""
        known = {node.name: node for node in self.loaded.flow.nodes}
        if name not in known:
            hint = near_miss(name, known) or f"there are: {', '.join(known)}"
            raise UserError(f"--node: the flow has no node {name!r}", code="unknown-node", hint=hint)
        values = given_inputs(given)
        for stranger in values.keys() - names_of(known[name]):
            say_safely(f"warning: node {name!r} reads no {stranger!r}")
        inputs = node_inputs(known[name], values, self.records.last())
        with contextlib.redirect_stdout(sys.stderr):
            run = self.images.keep_node(asyncio.run(self._run_node(name, inputs)))
        self.records.keep_node(run)
        _show_prints(run.logs)
        if run.error is not None:
            show_failure(run.error)
        if whole:
            emit_json(self.records.of_node(run))
        elif run.status is Status.Completed:
            emit_json(run.output)
        return 0 if run.status is Status.Completed else 1

    async def _run_node(self, name: str, inputs: Mapping[str, Any]) -> Any:
        try:
            return await run_node(self.loaded.bound, name, inputs, emit=show_progress)
        finally:
            await self.loaded.aclose()


def _variables(values: Sequence[str] | None) -> dict[str, str]:
    if not values:
        return {}
    from promptflow_lite.cli.asking import variables

    return variables(values)


def _init(values: Sequence[str] | None) -> dict[str, Any]:
    if not values:
        return {}
    from promptflow_lite.cli.asking import init_of

    return init_of(values)


def given_inputs(values: Sequence[str] | None) -> dict[str, Any]:
    """`--inputs`: `name=value` texts, or one file of JSON or JSON lines (its first line).

    Raises:
        UserError: not that.
    """
    if values and len(values) == 1 and "=" not in values[0] and values[0].endswith((".json", ".jsonl")):
        return _from_file(Path(values[0]))
    return dict(pairs(values, "--inputs"))


def _folders(given: Sequence[str] | None) -> list[Path]:
    """Where images may lie: beside the file of inputs; a path that a person types may lead anywhere."""
    if given and len(given) == 1 and "=" not in given[0]:
        return [Path(given[0]).absolute().parent]
    here = Path.cwd()
    return [here, Path(here.anchor)] if given else []


def _from_file(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"--inputs: {file}: {error.strerror}", code="bad-option") from error
    if file.suffix == ".jsonl":
        text = next((line for line in text.splitlines() if line.strip()), "")
    try:
        found = json.loads(text)
    except ValueError as error:
        raise UserError(f"--inputs: {file}: {error}", code="bad-option") from error
    if not isinstance(found, dict):
        raise UserError(f"--inputs: {file}: expected an object of inputs by name", code="bad-option")
    return found


def node_inputs(node: Node, given: Mapping[str, Any], last: Mapping[str, Any]) -> dict[str, Any]:
    """What a node gets when it runs alone: what is given, and for the rest what it got in the last test.

    Args:
        node: the node.
        given: by parameter (`title`), or by what the node refers to (`inputs.text`, `suggest.output`).
        last: values of the last test, by `inputs.NAME` and `NODE.output`.
    """
    found = dict(given)
    for parameter, ref in node.refs().items():
        spelled = str(ref)[2:-1]
        whole = spelled if ref.scope == "inputs" else f"{ref.name}.output"
        if whole in last and not {parameter, spelled, whole, ref.name} & given.keys():
            # As JSON, since the engine reads what a person types as JSON where it is some.
            found[whole] = last[whole] if ref.scope == "inputs" else json.dumps(last[whole])
    return found


def names_of(node: Node) -> set[str]:
    """Every name that an input of the node goes by."""
    refs = node.refs().values()
    whole = {f"{ref.name}.output" for ref in refs if ref.scope == "node"}
    return {*node.inputs, *(ref.name for ref in refs), *(str(ref)[2:-1] for ref in refs), *whole}


def show_progress(event: Event) -> None:
    """Say how a node ended and how long it took, where a person watches."""
    if isinstance(event, NodeEnded) and is_interactive():
        run = event.run
        how = {Status.Completed: "green", Status.Failed: "red"}.get(run.status, "dim")
        took = f"{run.seconds:8.2f} s" if run.status is not Status.Bypassed else ""
        say(f"  {paint(run.status.value.ljust(9), how)} {neutral(run.node):24} {took}")  # type: ignore[arg-type]


def _show(tested: Tested) -> None:
    _show_prints(tested.line.logs)
    if tested.line.error is not None:
        show_failure(tested.line.error)
    if tested.aggregation is not None:
        _show_prints(tested.aggregation.logs)
        for name, value in tested.aggregation.metrics.items():
            say_safely(f"metric {name} = {value}")
        if tested.aggregation.error is not None:
            show_failure(tested.aggregation.error)


def _show_prints(logs: str) -> None:
    if logs:
        say(neutral(logs.rstrip("\n")))
