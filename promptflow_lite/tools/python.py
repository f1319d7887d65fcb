"""What does a python node call? The one `@tool` of the user's script.

Prompt flow: _core/tools_manager.py. The script is executed again for each node, under a module name of its
own, with the flow's folder as working directory and first on `sys.path`.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from promptflow_lite import aliases
from promptflow_lite.connections.base import ConnectionProvider
from promptflow_lite.errors import Diagnostic, FlowError, Mark, near_miss
from promptflow_lite.flow.refs import Ref
from promptflow_lite.flow.spec import Flow, Node
from promptflow_lite.tools import frames
from promptflow_lite.tools.home import Home
from promptflow_lite.tools.literals import literals
from promptflow_lite.tools.place import place_of
from promptflow_lite.tools.scope import is_streaming
from promptflow_lite.tools.signature import of_signature, params_of
from promptflow_lite.tools.tool import Made, Tool, ToolProvider, mark_of

__all__ = ["MODULE", "evict_strangers", "import_script", "make", "of_function", "of_provider"]

MODULE = "__pf_main__"
"""What the module of a script is called, followed by the node's name."""


def make(node: Node, flow: Flow, connections: ConnectionProvider) -> Made:
    """The tool of a python node whose source is a script.

    Raises:
        FlowError: the script is not there (`source-not-found`), cannot be imported (`import-failed`), or has
            no tool or several (`no-tool`, `many-tools`).
    """
    mark = place_of(node, flow).mark("source", "path")
    path = (flow.folder / (node.source.path if node.source and node.source.path else "")).absolute()
    if not path.is_file():
        known = [file.name for file in flow.folder.glob("*.py")]
        raise _wrong("source-not-found", f"there is no file {path.name!r}", mark, near_miss(path.name, known))
    name = f"{MODULE}{node.name}"
    module = import_script(path, name, folder=flow.folder)
    found = list(_tools_of(module))
    if len(found) != 1:
        code, how_many = ("many-tools", "several") if found else ("no-tool", "no")
        names = f": {', '.join(function.__qualname__ for function, _ in found)}" if found else ""
        raise _wrong(code, f"{path.name} defines {how_many} @tool functions{names}; expected one", mark)
    function, provider = found[0]
    if provider is None:
        tool = of_function(function)
    else:
        tool = of_provider(provider, function, node, flow, connections)
    return Made(tool, closers=(lambda: _forget(name, module),))


def of_function(function: Callable[..., Any]) -> Tool:
    """The tool that a marked function is."""
    tool = of_signature(function)
    mark = mark_of(function)
    if mark is None or not mark.streaming_option_parameter:
        return tool
    option = mark.streaming_option_parameter
    return _with_call(
        tool, lambda **inputs: function(**{option: is_streaming, **inputs}), leave_out=(option,)
    )


def of_provider(
    provider: type, method: Callable[..., Any], node: Node, flow: Flow, connections: ConnectionProvider
) -> Tool:
    """The tool that a method of a `ToolProvider` is; the object is made now, of the node's literal inputs.

    Raises:
        FlowError: an argument of `__init__` is a reference, missing or of the wrong type, or `__init__`
            raised.
    """
    place = place_of(node, flow)
    setup = params_of(provider)
    given = {name: value for name, value in node.inputs.items() if name in setup}
    complaints = [
        place.complaint(
            "provider-needs-literal",
            f"{provider.__name__}.__init__ takes {name!r} before any line; expected a literal, got {value}",
            "inputs",
            name,
        )
        for name, value in given.items()
        if isinstance(value, Ref)
    ]
    if complaints:
        raise FlowError(complaints)
    values, complaints = literals(given, setup, flow=flow, where=place.index, connections=connections)
    missing = [name for name, param in setup.items() if param.required and given.get(name) in (None, "")]
    complaints += [
        place.complaint("missing-argument", f"{provider.__name__}.__init__ needs {name!r}")
        for name in missing
    ]
    if complaints:
        raise FlowError(complaints)
    with Home(flow.folder):
        instance = frames.guarded(
            lambda: provider(**values),
            lambda error, said: _wrong(
                "provider-failed",
                f"{provider.__name__}() {said}",
                place.mark("source"),
                error=error,
            ),
        )
    bound = getattr(instance, method.__name__)
    tool = of_signature(bound)
    params = {**setup, **tool.params}

    streaming = mark_of(method)
    option = streaming.streaming_option_parameter if streaming else None

    def call(**inputs: Any) -> Any:
        given = {name: value for name, value in inputs.items() if name not in setup}
        return bound(**({option: is_streaming, **given} if option else given))

    whole = Tool(tool.name, call, params, tool.mode, tool.accepts_extra, tool.description)
    return _with_call(whole, call, leave_out=(option,)) if option else whole


def import_script(path: Path, name: str, *, folder: Path) -> ModuleType:
    """The script at `path`, executed as a module called `name` with `folder` as its home.

    Raises:
        FlowError: it raised; the complaint has the file and line of the user's code (`import-failed`).
    """
    aliases.install()
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise _wrong("import-failed", f"{path.name} is no Python file", Mark(str(path), 1, 1))
    module = importlib.util.module_from_spec(spec)
    loader = spec.loader
    with Home(folder):
        evict_strangers(folder)
        sys.modules[name] = module  # dataclasses and pydantic look their module up there
        frames.guarded(
            lambda: loader.exec_module(module),
            lambda error, said: _wrong(
                "import-failed",
                f"importing {path.name} {said}",
                frames.mark_of(error, default=Mark(str(path), 1, 1)),
                error=error,
            ),
        )
    return module


def _tools_of(module: ModuleType) -> Iterable[tuple[Callable[..., Any], type | None]]:
    """The marked functions and methods that `module` itself defines; those it imports do not count."""
    seen: set[int] = set()
    for value in list(vars(module).values()):
        if id(value) in seen or getattr(value, "__module__", None) != module.__name__:
            continue
        seen.add(id(value))
        if isinstance(value, type) and issubclass(value, ToolProvider):
            yield from ((method, value) for method in vars(value).values() if mark_of(method) is not None)
        elif not isinstance(value, type) and callable(value) and mark_of(value) is not None:
            yield value, None


def evict_strangers(folder: Path) -> None:
    """Forget modules of another flow's folder that this folder has a module of the same name for.

    A folder that has left `sys.path` is such a folder; whatever else is imported stays.
    """
    importable = {str(Path(entry).absolute()) for entry in sys.path}
    here = {file.stem for file in folder.glob("*.py")} | {
        file.parent.name for file in folder.glob("*/__init__.py")
    }
    for name in here & sys.modules.keys():
        file = Path(getattr(sys.modules[name], "__file__", None) or folder / "x.py").absolute()
        home = file.parent.parent if file.name == "__init__.py" else file.parent
        if str(home) not in importable:
            _drop(name)


def _drop(name: str) -> None:
    for known in [n for n in sys.modules if n == name or n.startswith(f"{name}.")]:
        del sys.modules[known]


def _forget(name: str, module: ModuleType) -> None:
    if sys.modules.get(name) is module:
        del sys.modules[name]


def _with_call(tool: Tool, call: Callable[..., Any], *, leave_out: tuple[str, ...]) -> Tool:
    params: Mapping[str, Any] = {name: param for name, param in tool.params.items() if name not in leave_out}
    return Tool(tool.name, call, params, tool.mode, tool.accepts_extra, tool.description)


def _wrong(
    code: str, message: str, mark: Mark | None, hint: str | None = None, *, error: BaseException | None = None
) -> FlowError:
    wrong = FlowError([Diagnostic(code, message, mark, hint)])
    wrong.__cause__ = error
    return wrong
