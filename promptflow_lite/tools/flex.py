"""What does the node of a flex flow call? The function that its entry names, or a method of one object.

Prompt flow: executor/_script_executor.py (flow-language 4.2). A class is made once and called for every line;
lines call it at once, from several threads.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from promptflow_lite import aliases
from promptflow_lite.connections.base import Connection, ConnectionProvider
from promptflow_lite.connections.configurations import configuration_of
from promptflow_lite.errors import ConnectionNotFound, Diagnostic, FlowError, Mark
from promptflow_lite.flow.entry import Entry, Signature
from promptflow_lite.flow.flex import AGGREGATION, lowered
from promptflow_lite.flow.spec import Flow, FlowInput, FlowOutput, Node
from promptflow_lite.tools import frames
from promptflow_lite.tools.home import Home
from promptflow_lite.tools.python import evict_strangers
from promptflow_lite.tools.scope import log_metric
from promptflow_lite.tools.signature import of_signature, params_of
from promptflow_lite.tools.tool import Made, Param, Tool

__all__ = ["make", "opened"]

Closer = Callable[[], Any]


def opened(flow: Flow, connections: ConnectionProvider, at_close: Callable[[Closer], None]) -> Flow:
    """The flow with its entry imported, and its object made: what it takes is known exactly now.

    Raises:
        FlowError: the entry cannot be imported (`import-failed`), is nothing to call (`bad-entry`), or its
            class cannot be made (`init-failed`, `missing-init`, `wrong-type`, `unknown-connection`).
    """
    entry: Entry = flow.nodes[0].settings
    mark = flow.at("entry")
    aliases.install()
    with Home(flow.folder):
        evict_strangers(flow.folder)
        hidden = _hidden_by(flow.folder, entry.module.partition(".")[0])
        at_close(lambda: sys.modules.update(hidden))
        before = set(sys.modules)
        module = frames.guarded(
            lambda: importlib.import_module(entry.module),
            lambda error, said: _wrong(
                "import-failed",
                f"importing {entry.module} {said}",
                frames.mark_of(error, default=mark),
                error=error,
            ),
        )
        at_close(lambda: _forget(before, str(flow.folder)))
        target = getattr(module, entry.name, None)
        if not callable(target):
            what = "there is none" if target is None else f"it is a {type(target).__name__}"
            raise _wrong("bad-entry", f"{entry.module}:{entry.name} is nothing to call: {what}", mark)
        made = _made(target, flow, connections, mark) if isinstance(target, type) else target
    signature = _signature(target, made, entry.signature)
    entry = dataclasses.replace(entry, call=made, signature=signature)
    inputs = {name: _with_default(flow.inputs.get(name), port) for name, port in signature.inputs.items()}
    known = lowered(flow, entry, {"outputs": _ports(flow.outputs)})
    return known.derive(inputs=inputs, init=flow.init)


def make(node: Node, flow: Flow, connections: ConnectionProvider) -> Made:
    """The tool of a flow that was `opened`: its call for a line, or its aggregation."""
    entry: Entry = node.settings
    if node.aggregation:
        return Made(_aggregation(entry.call))
    tool = of_signature(entry.call, name=node.name)
    wrap = _awaited if tool.mode == "async" else _called
    return Made(dataclasses.replace(tool, call=wrap(entry.call)))


def _made(target: type, flow: Flow, connections: ConnectionProvider, mark: Mark) -> Any:
    """The object of a class, made of what was given for `init`."""
    if "__call__" not in dir(target) or not inspect.isfunction(
        inspect.getattr_static(target, "__call__", None)
    ):
        message = f"the class {target.__name__!r} has no method '__call__', which is called for each line"
        raise _wrong("bad-entry", message, mark)
    params = params_of(target)
    values: dict[str, Any] = {}
    complaints: list[Diagnostic] = []
    for name, param in params.items():
        spec = flow.init.get(name)
        if name in flow.init_values:
            value = flow.init_values[name]
        elif spec is not None and spec.default not in (None, ""):
            value = spec.default
        elif param.required:
            complaints.append(_missing(target, name, mark))
            continue
        else:
            continue
        try:
            values[name] = _resolved(value, param, spec, connections)
        except ConnectionNotFound as error:
            complaints.append(
                Diagnostic("unknown-connection", f"init.{name}: {error.message}", mark, error.hint)
            )
        except ValueError as error:
            complaints.append(Diagnostic("wrong-type", f"init.{name}: {error}", mark))
    if complaints:
        raise FlowError(complaints)
    return frames.guarded(
        lambda: target(**values),
        lambda error, said: _wrong(
            "init-failed", f"{target.__name__}() {said}", frames.mark_of(error, default=mark), error=error
        ),
    )


def _missing(target: type, name: str, mark: Mark) -> Diagnostic:
    message = f"{target.__name__}.__init__ needs {name!r}"
    return Diagnostic(
        "missing-init", message, mark, f"give it with --init {name}=..., or init: in a run file"
    )


def _resolved(value: Any, param: Param, spec: FlowInput | None, connections: ConnectionProvider) -> Any:
    kind = (
        spec.type
        if spec is not None and spec.type.endswith(("Connection", "ModelConfiguration"))
        else param.type
    )
    if param.type.endswith("ModelConfiguration") or kind.endswith("ModelConfiguration"):
        return configuration_of(value, kind, connections)
    if not param.connections and not kind.endswith("Connection"):
        return value
    if isinstance(value, Connection):
        return value
    if not isinstance(value, str):
        raise ValueError(f"expected the name of a connection, got {value!r:.80}")
    connection = connections.get(value)
    kinds = {known.__name__ for known in type(connection).__mro__}
    wanted = param.connections or (kind,)
    if not kinds.intersection((*wanted, "CustomConnection")) and wanted != ("Connection",):
        names = " or ".join(wanted)
        raise ValueError(f"expected a {names}, got {value!r} of class {type(connection).__name__}")
    return connection


def _signature(target: Any, made: Any, read: Signature | None) -> Signature:
    """What the entry takes, of its true signature; what it gives, as it was read."""
    call = getattr(made, "__call__", made) if isinstance(target, type) else made  # noqa: B004
    params = params_of(call)
    inputs = {
        name: FlowInput(p.type, default=None if p.required else p.default, optional=not p.required)
        for name, p in params.items()
    }
    aggregate = getattr(made, AGGREGATION, None) if isinstance(target, type) else None
    outputs = read.outputs if read is not None else {"output": "object"}
    line = read.line if read is not None else 1
    return Signature(line, isinstance(target, type), inputs, outputs, aggregates=callable(aggregate))


def _with_default(declared: FlowInput | None, true: FlowInput) -> FlowInput:
    """The declared type and default, the function's own default where none is declared."""
    if declared is None:
        return true
    if declared.default is not None:
        return declared
    return dataclasses.replace(declared, default=true.default, optional=true.optional)


def _ports(outputs: Mapping[str, FlowOutput]) -> dict[str, FlowInput]:
    return {name: FlowInput(spec.type) for name, spec in outputs.items()}


def _called(call: Callable[..., Any]) -> Callable[..., Any]:
    def called(**inputs: Any) -> Any:
        value = call(**inputs)
        return _whole(value) if _has_parts(value) else value

    return called


def _awaited(call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def awaited(**inputs: Any) -> Any:
        value = await call(**inputs)
        if not _has_parts(value):
            return value
        fields = {name: await _joined(part) for name, part in _fields_of(value).items()}
        return _like(value, fields)

    return awaited


def _has_parts(value: Any) -> bool:
    """Whether a field of the value is a generator, which is joined (a generator itself the engine drains)."""
    return any(isinstance(part, Iterator | AsyncIterator) for part in _fields_of(value).values())


def _fields_of(value: Any) -> dict[str, Any]:
    if type(value) is dict:
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return {}


def _whole(value: Any) -> Any:
    fields = {
        name: "".join(map(str, part)) if isinstance(part, Iterator) else part
        for name, part in _fields_of(value).items()
    }
    return _like(value, fields)


def _like(value: Any, fields: dict[str, Any]) -> Any:
    return fields if isinstance(value, dict) else dataclasses.replace(value, **fields)


async def _joined(part: Any) -> Any:
    if isinstance(part, AsyncIterator):
        return "".join([str(piece) async for piece in part])
    return "".join(map(str, part)) if isinstance(part, Iterator) else part


class _Result(dict[str, Any]):
    """The outputs of a line, whose keys read as attributes too, as in Prompt flow."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the line's result has no {name!r}; it has: {', '.join(self)}") from None


def _aggregation(entry: Any) -> Tool:
    method = getattr(entry, AGGREGATION)
    is_async = inspect.iscoroutinefunction(method)

    def results_of(results: list[Any]) -> list[Any]:
        return [_Result(result) if type(result) is dict else result for result in results]

    def logged(metrics: Any) -> Any:
        if isinstance(metrics, Mapping):
            for name, value in metrics.items():
                log_metric(str(name), value)
        return metrics

    def aggregate(results: list[Any]) -> Any:
        return logged(method(results_of(results)))

    async def aggregate_async(results: list[Any]) -> Any:
        return logged(await method(results_of(results)))

    call = aggregate_async if is_async else aggregate
    return Tool(AGGREGATION, call, {"results": Param("results", "list")}, "async" if is_async else "thread")


def _hidden_by(folder: Path, top: str) -> dict[str, ModuleType]:
    """Take away modules from elsewhere, such as the library's `code`, whose name one of the flow's has."""
    if not ((folder / f"{top}.py").is_file() or (folder / top / "__init__.py").is_file()):
        return {}
    file = getattr(sys.modules.get(top), "__file__", None)
    if top not in sys.modules or (file is not None and Path(file).is_relative_to(folder)):
        return {}
    names = [name for name in sys.modules if name == top or name.startswith(f"{top}.")]
    return {name: sys.modules.pop(name) for name in names}


def _forget(before: set[str], folder: str) -> None:
    """Drop the modules of the flow's folder that came with it: another flow may have their names."""
    for name in sys.modules.keys() - before:
        file = getattr(sys.modules[name], "__file__", None)
        if file is not None and file.startswith(folder):
            del sys.modules[name]


def _wrong(code: str, message: str, mark: Mark | None, *, error: BaseException | None = None) -> FlowError:
    wrong = FlowError([Diagnostic(code, message, mark)])
    wrong.__cause__ = error
    return wrong
