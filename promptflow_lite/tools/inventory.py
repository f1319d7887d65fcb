"""Which tools are there, and is what they say of themselves true? Those of packages, of flows, of a name.

Prompt flow: _core/tools_manager.py, _sdk/operations/_tool_operations.py.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, is_dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from promptflow_lite import aliases
from promptflow_lite.errors import ToolError, UserError
from promptflow_lite.flow.load import load_flow
from promptflow_lite.registry import Registry
from promptflow_lite.tools import frames
from promptflow_lite.tools.python import import_script
from promptflow_lite.tools.settings import InputSetting, function_at
from promptflow_lite.tools.signature import of_signature, params_of
from promptflow_lite.tools.tool import Param, ToolProvider, mark_of

__all__ = ["described", "of_flow", "of_modules", "of_packages", "validated"]

_TYPES = ("python", "custom_llm", "llm", "prompt", "action", "csharp")
_PACKAGE_TOOLS = "package_tools"


def of_packages() -> dict[str, dict[str, Any]]:
    """The tools that this house and installed packages have, by id.

    Raises:
        ToolError: a package's tools cannot be listed (`import-failed`).
    """
    aliases.install()
    ours = Registry("tools")
    found = {name: described(ours.get(name), package="promptflow_lite") for name in ours.names()}
    for point in entry_points(group=_PACKAGE_TOOLS):
        package = point.dist.name if point.dist else point.value
        listed: Mapping[str, Mapping[str, Any]] = frames.guarded(
            lambda point=point: point.load()(),  # type: ignore[misc]  # mypy cannot infer the default's type
            lambda error, said, package=package: ToolError(  # type: ignore[misc]
                f"the tool package {package!r} {said}", code="import-failed"
            ),
        )
        found |= {tool_id: {"package": package, **about} for tool_id, about in listed.items()}
    return found


def of_modules(package: str) -> dict[str, dict[str, Any]]:
    """The tools that the modules of a package define, by dotted path: what `package_tools` may give.

    Raises:
        ToolError: a module cannot be imported (`import-failed`).
    """
    top = importlib.import_module(package)
    names = [package, *(m.name for m in pkgutil.walk_packages(getattr(top, "__path__", ()), f"{package}."))]
    found: dict[str, dict[str, Any]] = {}
    for module_name in names:
        module = frames.guarded(
            lambda name=module_name: importlib.import_module(name),  # type: ignore[misc]  # as above
            lambda error, said, name=module_name: ToolError(  # type: ignore[misc]
                f"importing {name!r} {said}", code="import-failed"
            ),
        )
        for name, function, owner in _marked(module):
            more = {"class_name": owner.__name__} if owner is not None else {}
            found[f"{module_name}.{name}"] = described(function, **more)
    return found


def of_flow(flow: Path) -> dict[str, dict[str, Any]]:
    """The tools of a flow's scripts, by the script's path in the flow; the scripts are imported.

    Raises:
        UserError: there is no flow, or its files are wrong.
        FlowError: a script cannot be imported.
    """
    spec = load_flow(flow)
    paths = {
        node.source.path: spec.folder / node.source.path
        for node in spec.nodes
        if node.type == "python" and node.source is not None and node.source.path
    }
    return {
        f"{path}:{name}" if len(tools) > 1 else path: about
        for path, file in paths.items()
        for tools in [_of_script(file)]
        for name, about in tools.items()
    }


def _of_script(file: Path) -> dict[str, dict[str, Any]]:
    """The tools that a script defines, by the function's name.

    Raises:
        FlowError: it cannot be imported.
    """
    module = import_script(file.absolute(), f"__pf_tool__{file.stem}", folder=file.absolute().parent)
    return {name: described(function) for name, function, _ in _marked(module)}


def described(function: Callable[..., Any] | ModuleType, **more: Any) -> dict[str, Any]:
    """What a tool says of itself, as Prompt flow's YAML of tools has it."""
    if isinstance(function, ModuleType):
        function = next(found for _, found, _ in _marked(function))
    tool = of_signature(function)
    mark = mark_of(function)
    inputs = {name: _input(param) for name, param in _of_owner(function).items()}
    inputs |= {name: _input(param) for name, param in tool.params.items() if name != "self"}
    for name, setting in (mark.input_settings if mark and mark.input_settings else {}).items():
        inputs.setdefault(name, {}).update(_setting(setting))
    about = {
        "name": tool.name,
        "type": (mark.type if mark else None) or "python",
        "module": function.__module__,
        "function": getattr(function, "__name__", tool.name),
        "inputs": inputs,
        "description": tool.description or None,
        **(mark.extra if mark else {}),
        **more,
    }
    return {key: value for key, value in about.items() if value is not None}


def validated(source: str) -> tuple[list[str], list[tuple[str, str]]]:
    """The tools of a package, of a function's path or of a script, and what is wrong: (tool, message) each.

    Raises:
        UserError: nothing of that name is there.
        FlowError: a script cannot be imported.
    """
    aliases.install()
    path = Path(source)
    complaints: list[tuple[str, str]] = []
    names: list[str] = []
    if path.suffix == ".py":
        module = import_script(path.absolute(), f"__pf_tool__{path.stem}", folder=path.absolute().parent)
        for name, function, _ in _marked(module):
            names.append(name)
            complaints += ((name, message) for message in _wrong_with(function))
        return names, complaints
    listed = _listed(source)
    if listed is None:
        function = function_at(source)
        if mark_of(function) is None:
            return [], [(source, "it is not marked with @tool")]
        return [source], [(source, message) for message in _wrong_with(function)]
    for tool_id, about in listed.items():
        names.append(tool_id)
        complaints += ((tool_id, message) for message in _wrong_in(about))
    return names, complaints


def _listed(package: str) -> dict[str, dict[str, Any]] | None:
    """The tools of the package of that name, or `None` if no package of tools has it."""
    points = [p for p in entry_points(group=_PACKAGE_TOOLS) if _plain(package) in _names(p)]
    if not points:
        if "." in package:
            return None
        raise UserError(
            f"no installed package {package!r} registers {_PACKAGE_TOOLS!r}",
            code="unknown-tool",
            hint="is it installed? pip install -e FOLDER",
        )
    return {tool_id: dict(about) for point in points for tool_id, about in point.load()().items()}


def _names(point: EntryPoint) -> tuple[str, ...]:
    """What the package of an entry point is called: its module, and its distribution."""
    return _plain(point.module.partition(".")[0]), _plain(point.dist.name if point.dist else "")


def _plain(name: str) -> str:
    return name.replace("-", "_").lower()


def _wrong_in(about: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a tool as a YAML describes it."""
    lacking = [key for key in ("name", "type", "module", "function") if not about.get(key)]
    if lacking:
        yield f"its description lacks {', '.join(map(repr, lacking))}"
        return
    if about["type"] not in _TYPES:
        yield f"its type {about['type']!r} is none of {', '.join(_TYPES)}"
    names = [name for name in (about.get("class_name"), about["function"]) if name]
    try:
        found: Any = importlib.import_module(str(about["module"]))
        for name in names:
            found = getattr(found, name)
    except (ImportError, AttributeError) as error:
        yield f"{about['module']}.{'.'.join(names)} cannot be imported: {error}"
        return
    known = {**(params_of(found) if callable(found) else {}), **_of_owner(found)}
    accepts = callable(found) and of_signature(found).accepts_extra
    inputs: Mapping[str, Any] = about.get("inputs") or {}
    for name, said in inputs.items():
        if name not in known and not accepts and not _is_of_editor(said):
            yield f"input {name!r} is no parameter of {about['function']!r}"
        yield from _wrong_setting(name, said if isinstance(said, Mapping) else {}, inputs)
    for name, param in known.items():
        is_given = name in ("self", "cls") or param.type == "prompt_template"
        if param.required and name not in inputs and not is_given:
            yield f"parameter {name!r} of {about['function']!r} is not among its inputs"


def _is_of_editor(said: Any) -> bool:
    """Whether an input is only a field of an editor, of which another input is generated."""
    return isinstance(said, Mapping) and said.get("input_type") == "uionly_hidden"


def _wrong_with(function: Callable[..., Any]) -> Iterator[str]:
    """What is wrong with a marked function."""
    about = described(function)
    mark = mark_of(function)
    for name in mark.input_settings if mark and mark.input_settings else {}:
        if name not in params_of(function):
            yield f"input_settings: {name!r} is no parameter"
    for name, said in about["inputs"].items():
        yield from _wrong_setting(name, said, about["inputs"])
    icons = [mark.extra.get(key) for key in ("icon", "icon_light", "icon_dark")] if mark else []
    for icon in icons:
        if icon and not Path(str(icon)).is_file():
            yield f"there is no icon {str(icon)!r}"
    if mark and mark.extra.get("icon") and len([icon for icon in icons if icon]) > 1:
        yield "it has an icon, and one for light or dark too"


def _wrong_setting(name: str, said: Mapping[str, Any], inputs: Mapping[str, Any]) -> Iterator[str]:
    switch = said.get("enabled_by")
    if switch is not None and switch not in inputs:
        yield f"input {name!r} is enabled by {switch!r}, which is no input"
    listed = said.get("dynamic_list")
    if isinstance(listed, Mapping):
        yield from _wrong_function(name, listed.get("func_path"), listed.get("func_kwargs") or (), inputs)
    made = said.get("generated_by")
    if isinstance(made, Mapping):
        yield from _wrong_function(name, made.get("func_path"), made.get("func_kwargs") or (), inputs)
        yield from _wrong_function(name, made.get("reverse_func_path"), (), inputs)


def _wrong_function(name: str, path: Any, arguments: Any, inputs: Mapping[str, Any]) -> Iterator[str]:
    try:
        function = function_at(str(path))
    except ToolError as error:
        yield f"input {name!r}: {error.message}"
        return
    known = params_of(function)
    accepts = of_signature(function).accepts_extra
    for argument in arguments:
        if argument.get("name") not in known and not accepts:
            yield f"input {name!r}: {path!r} has no parameter {argument.get('name')!r}"
        reference = str(argument.get("reference") or "")
        if reference.startswith("${inputs.") and reference[9:-1] not in inputs:
            yield f"input {name!r}: {reference} is no input"


def _marked(module: ModuleType) -> Iterator[tuple[str, Callable[..., Any], type | None]]:
    for name, value in list(vars(module).items()):
        if getattr(value, "__module__", None) != module.__name__:
            continue
        if isinstance(value, type) and issubclass(value, ToolProvider):
            for method in vars(value).values():
                if mark_of(method) is not None:
                    yield f"{name}.{method.__name__}", method, value
        elif callable(value) and mark_of(value) is not None:
            yield name, value, None


def _of_owner(function: Any) -> dict[str, Param]:
    """The parameters of `__init__` of the class that a method is in."""
    path = getattr(function, "__qualname__", "").rpartition(".")[0]
    owner = getattr(inspect.getmodule(function), path, None) if path and "<" not in path else None
    return params_of(owner) if isinstance(owner, type) else {}


def _input(param: Param) -> dict[str, Any]:
    said: dict[str, Any] = {"type": list(param.connections) or [param.type]}
    if param.strong is not None:
        said = {"type": ["CustomConnection"], "custom_type": [param.strong.__name__]}
    if param.choices:
        said["enum"] = list(param.choices)
    if not param.required:
        said["default"] = getattr(param.default, "value", param.default)
    return said


def _setting(setting: Any) -> dict[str, Any]:
    if isinstance(setting, InputSetting):
        return setting.to_dict()
    if isinstance(setting, Mapping):
        return dict(setting)
    return asdict(setting) if is_dataclass(setting) and not isinstance(setting, type) else {}
