"""How does MLflow call a flow? As a pyfunc: a table of inputs in, one of outputs out, or parts."""

from __future__ import annotations

import asyncio
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas
from mlflow.pyfunc.model import PythonModel

from promptflow_lite.api.loop import wait_for
from promptflow_lite.api.streaming import parts_of, told
from promptflow_lite.connections.base import Connection
from promptflow_lite.connections.store import Connections, provider
from promptflow_lite.engine.line import run_line
from promptflow_lite.engine.results import LineResult, Status
from promptflow_lite.errors import InputError, NodeError
from promptflow_lite.integrations.mlflow_model.config import ERROR, Config
from promptflow_lite.packaging.folder import RECORD
from promptflow_lite.serving.deployment import BoundDeployment, load
from promptflow_lite.serving.score import outputs_of
from promptflow_lite.settings import settings

__all__ = ["FlowModel"]


class FlowModel(PythonModel):
    """A packed flow."""

    def load_context(self, context: Any) -> None:
        """Load and bind the flow: connections are those of this home and environment, then the packed ones.

        Raises:
            UserError: what is wrong with the flow or `model_config`.
        """
        self._config = Config.of(context.model_config or {})
        folder = Path(context.artifacts["flow"])
        source = folder / json.loads((folder / RECORD).read_bytes())["source"]
        self._served = _loaded(source, folder / "connections", self._config)

    def predict(
        self, context: Any, model_input: pandas.DataFrame, params: dict[str, Any] | None = None
    ) -> pandas.DataFrame:
        """A table of the outputs, a row for each row of the inputs.

        Raises:
            InputError: a line's inputs are wrong.
            NodeError: a line failed, and `on_error` is `raise`.
        """
        rows = _rows(model_input)
        lines = wait_for(self._lines(rows))
        names = self._names()
        table = [self._row(at, line, names) for at, line in enumerate(lines)]
        columns = [*names, ERROR] if self._config.on_error == "keep" else names
        # As objects first, or a None among whole numbers would make all of them floats.
        return pandas.DataFrame(table, columns=columns or None, dtype=object).infer_objects()

    def predict_stream(
        self, context: Any, model_input: pandas.DataFrame, params: dict[str, Any] | None = None
    ) -> Iterator[dict[str, Any]]:
        """The outputs of one line in parts: text as models write it, the rest last.

        Raises:
            InputError: there is not one line, or its inputs are wrong.
            NodeError: the line failed.
        """
        rows = _rows(model_input)
        if len(rows) != 1:
            raise InputError(f"predict_stream takes one line, got {len(rows)}", code="bad-data")
        return self._parts(rows[0])

    def _parts(self, inputs: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        bound, shown = self._served.bound, set(self._names())
        for part in told(
            parts_of(
                lambda emit: run_line(bound, inputs, stream=True, timeout_s=self._config.timeout_s, emit=emit)
            )
        ):
            seen = {name: value for name, value in part.items() if name in shown or not shown}
            if seen:
                yield seen

    async def _lines(self, rows: Sequence[Mapping[str, Any]]) -> list[LineResult | InputError]:
        room = asyncio.Semaphore(self._config.concurrency)
        keeps = self._config.on_error == "keep"

        async def one(inputs: Mapping[str, Any]) -> LineResult | InputError:
            async with room:
                try:
                    return await self._served.answer(inputs)
                except InputError as error:
                    if keeps:
                        return error
                    raise

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(row)) for row in rows]
        except* InputError as several:
            raise several.exceptions[0] from None
        return [task.result() for task in tasks]

    def _row(self, at: int, line: LineResult | InputError, names: Sequence[str]) -> dict[str, Any]:
        keeps = self._config.on_error == "keep"
        if isinstance(line, InputError):
            return {**dict.fromkeys(names), ERROR: f"{line.code}: {line.message}"}
        if line.status is Status.Completed:
            found = outputs_of(self._served.flow, line, tuple(names) or None)
            return {**found, ERROR: None} if keeps else found
        said = line.error
        where = f"node {said.node!r}: " if said is not None and said.node else ""
        code, message = (
            (said.code, f"{where}{said.message}") if said is not None else ("canceled", "canceled")
        )
        if not keeps:
            raise NodeError(f"line {at}: {message}", code=code)
        return {**dict.fromkeys(names), ERROR: f"{code}: {message}"}

    def _names(self) -> list[str]:
        """The outputs to give; none where only a call tells them."""
        flow = self._served.flow
        return [*self._config.outputs] or [n for n, spec in flow.outputs.items() if not spec.evaluation_only]


class _Packed:
    """The connections of this home and environment, and behind them the packed ones."""

    def __init__(self, own: Connections, packed: Connections) -> None:
        self._own = own
        self._packed = packed

    def get(self, name: str) -> Connection:
        """The connection of that name; a packed one only where no other has it."""
        is_packed = name in self._packed.in_files() and name not in self._own.names()
        return (self._packed if is_packed else self._own).get(name)

    def names(self) -> list[str]:
        """The names that `get` knows, sorted."""
        return sorted({*self._own.names(), *self._packed.in_files()})


def _loaded(source: Path, packed: Path, config: Config) -> BoundDeployment:
    return load(
        source,
        connections=_Packed(
            provider(settings()), Connections(packed, dict(os.environ), model=settings().model)
        ),
        variant=config.variant or None,
        overrides=config.connections,
        environment_variables=config.environment_variables or None,
        init=config.init or None,
        timeout_s=config.timeout_s,
    )


def _rows(given: Any) -> list[dict[str, Any]]:
    """The lines of a table, of a mapping, or of a list of mappings; what is missing in a cell is left out."""
    if hasattr(given, "to_dict"):
        given = given.to_dict(orient="records")
    elif isinstance(given, Mapping):
        given = [given]
    return [
        {str(key): _plain(value) for key, value in row.items() if not _is_missing(value)} for row in given
    ]


def _is_missing(value: Any) -> bool:
    return (
        value is None or (isinstance(value, float) and math.isnan(value)) or type(value).__name__ == "NAType"
    )


def _plain(value: Any) -> Any:
    """What a cell holds, without numpy: arrays become lists, numbers Python's."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if hasattr(value, "asDict"):  # a row inside a row of Spark
        value = value.asDict()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
