"""What does a flow.flex.yaml say? A callable as a Flow: a node for its lines, one for the aggregation.

Prompt flow: `_sdk/schemas/_flow.py` `FlexFlowSchema`, `executor/_script_executor.py` (flow-language 4.2). The
types of inputs, outputs and `init` are those of the annotations where the file declares none.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from promptflow_lite.errors import Diagnostic, FlowError, near_miss
from promptflow_lite.flow.complaints import Complaints
from promptflow_lite.flow.entry import Entry, Signature, read_entry
from promptflow_lite.flow.environment import is_forbidden, text_of
from promptflow_lite.flow.includes import locate
from promptflow_lite.flow.kinds import ANY, FLAG, INPUT, MAPPING, TEXT, TEXTS, Kind, one_of
from promptflow_lite.flow.refs import Ref
from promptflow_lite.flow.source import Document, KeyPath, read_text
from promptflow_lite.flow.spec import Flow, FlowInput, FlowOutput, Node, Source
from promptflow_lite.flow.written import with_files

__all__ = ["AGGREGATION", "flow_of_entry", "lowered"]

AGGREGATION = "__aggregate__"
"""The node that runs once, after all lines."""

_ENTRY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_VALUES = ("string", "int", "double", "bool", "list", "object")

_SAMPLE = Kind("a mapping with inputs and init, or ${file:...}", lambda value: isinstance(value, dict | str))

_FLOW = {
    "$schema": ANY,
    "id": ANY,
    "version": ANY,
    "name": TEXT,
    "display_name": TEXT,
    "description": TEXT,
    "type": one_of("standard", "chat", "evaluation"),
    "language": TEXT,
    "entry": TEXT,
    "code": TEXT,
    "inputs": MAPPING,
    "outputs": MAPPING,
    "init": MAPPING,
    "sample": _SAMPLE,
    "environment": MAPPING,
    "environment_variables": MAPPING,
    "additional_includes": TEXTS,
    "tags": MAPPING,
}
_PORT = {**INPUT, "is_chat_output": FLAG}


def flow_of_entry(document: Document, folder: Path, default_name: str) -> tuple[Flow, list[Diagnostic]]:
    """The flow that a flow.flex.yaml describes, as far as it can be read, and what is wrong with it.

    The script is read and not imported.
    """
    complaints = Complaints(document)
    data = complaints.fields(document.data, _FLOW, (), "a flex flow")
    if (data.get("language") or "python") != "python":
        complaints.add("not-supported", f"flows in {data['language']!r} are not supported, only in Python",
                       ("language",))  # fmt: skip
    home = folder
    if "code" in data:
        home = (folder / data["code"]).resolve()
        if not home.is_dir():
            complaints.add("source-not-found", f"there is no folder {data['code']!r}", ("code",))
    sample = with_files(data.get("sample"), folder, ("sample",), complaints.add)
    sample = complaints.fields(sample, {"inputs": MAPPING, "init": MAPPING}, ("sample",), "a sample")
    flow = Flow(
        name=data.get("name") or default_name,
        display_name=data.get("display_name"),
        description=data.get("description"),
        type=data.get("type", "standard"),
        environment=data.get("environment", {}),
        environment_variables=_environment(data.get("environment_variables", {}), complaints),
        additional_includes=tuple(data.get("additional_includes", ())),
        tags=data.get("tags", {}),
        sample=sample.get("inputs", {}),
        init_values=sample.get("init", {}),
        document=document,
        folder=home,
    )
    declared = {key: _ports(data.get(key, {}), key, complaints) for key in ("inputs", "outputs", "init")}
    entry = _entry(data.get("entry"), flow, complaints)
    if entry is None:
        return flow, complaints.found
    for key in ("inputs", "init"):
        _compare(declared[key], entry.signature, key, complaints)
    return lowered(flow, entry, declared), complaints.found


def lowered(flow: Flow, entry: Entry, declared: Mapping[str, Mapping[str, FlowInput]] | None = None) -> Flow:
    """The flow as a node that calls the entry, and one that aggregates where a class does.

    Args:
        flow: a flow of no nodes yet, or one made by this function.
        entry: what it calls, with the signature as far as it is known.
        declared: what the file declares of `inputs`, `outputs` and `init`, by these names.
    """
    declared = declared or {}
    known = entry.signature
    inputs = _merged(declared.get("inputs", {}), known.inputs if known else {})
    name = entry.name if entry.name not in ("inputs", "flow", AGGREGATION) else "entry"
    whole = Ref("node", name)
    kinds = {key: port.type for key, port in declared.get("outputs", {}).items()}
    kinds = kinds or (known.outputs if known else {"output": "object"})
    only = set(kinds) == {"output"}
    outputs = {
        key: FlowOutput(kind, whole if only else Ref("node", name, (key,))) for key, kind in kinds.items()
    }
    source = Source(path=f"{entry.module.replace('.', '/')}.py", tool=f"{entry.module}:{entry.name}")
    nodes = [Node(name, "flex", source, {key: Ref("inputs", key) for key in inputs}, settings=entry)]
    if known is not None and known.aggregates:
        nodes.append(Node(AGGREGATION, "flex", source, {"results": whole}, aggregation=True, settings=entry))
    return flow.derive(
        inputs=inputs,
        outputs=outputs,
        nodes=tuple(nodes),
        spread=name,
        init=_merged(declared.get("init", {}), known.init if known else {}),
    )


def _merged(declared: Mapping[str, FlowInput], known: Mapping[str, FlowInput]) -> dict[str, FlowInput]:
    """What the script says, with the types and defaults of the file over it.

    A default of '' in the file stands for the script's own, as in Prompt flow.
    """
    merged: dict[str, FlowInput] = dict(known)
    for name, port in declared.items():
        own = known.get(name)
        if own is None:
            merged[name] = port
        elif port.default is None or port.default == "":
            merged[name] = replace(port, default=own.default, optional=own.optional)
        else:
            merged[name] = port
    return {name: merged[name] for name in [*declared, *(n for n in known if n not in declared)]}


def _entry(text: Any, flow: Flow, complaints: Complaints) -> Entry | None:
    if text is None:
        if not any(complaint.mark and complaint.mark.key == "entry" for complaint in complaints.found):
            complaints.missing("entry", "a flex flow", ())
        return None
    if any(complaint.code == "not-supported" for complaint in complaints.found):
        return None
    if not _ENTRY.fullmatch(text):
        message = f"expected 'module:function' or 'module:Class', got {text!r}"
        complaints.add("bad-entry", message, ("entry",), _entry_hint(text, flow))
        return None
    module, _, name = text.partition(":")
    path = _file_of(module, flow)
    if path is None:
        known = sorted(file.stem for file in flow.folder.glob("*.py"))
        hint = near_miss(module, known) or (f"there are: {', '.join(known)}" if known else None)
        message = f"there is no module {module!r} in {str(flow.folder)!r}"
        complaints.add("source-not-found", message, ("entry",), hint)
        return Entry(module, name, None) if flow.additional_includes else None
    shown = (
        str(Path(flow.document.file).parent / path.relative_to(flow.folder))
        if _is_own(path, flow)
        else str(path)
    )
    try:
        return Entry(module, name, read_entry(read_text(path, shown=shown), shown, name))
    except FlowError as error:
        for found in error.diagnostics:
            if found.code == "unknown-entry":  # the key is what is wrong, not the script
                complaints.add(found.code, f"{shown} defines no {name!r}", ("entry",), found.hint)
            else:
                complaints.found.append(found)
        return None


def _is_own(path: Path, flow: Flow) -> bool:
    return bool(flow.document.file) and path.is_relative_to(flow.folder)


def _entry_hint(text: str, flow: Flow) -> str | None:
    name = text.removesuffix(".py")
    if (flow.folder / f"{name}.py").is_file():
        return f"name what it calls, as in {name}:my_function"
    stems = sorted(file.stem for file in flow.folder.glob("*.py"))
    return f"write {stems[0]}:{text}?" if len(stems) == 1 and name.isidentifier() else None


def _file_of(module: str, flow: Flow) -> Path | None:
    """The file of a module: in the flow's folder, among what it includes, or where Python looks."""
    parts = module.replace(".", "/")
    for name in (f"{parts}.py", f"{parts}/__init__.py"):
        found = locate(flow, name)
        if found is not None:
            return found
        for place in filter(None, sys.path):
            if (Path(place) / name).is_file():
                return Path(place) / name
    return None


def _ports(data: Mapping[Any, Any], key: str, complaints: Complaints) -> dict[str, FlowInput]:
    noun = {"inputs": "an input", "outputs": "an output", "init": "an init parameter"}[key]
    found: dict[str, FlowInput] = {}
    for name, (body, path) in complaints.entries(data, (key,)).items():
        fields = complaints.fields(body, _PORT, path, noun)
        if "type" not in fields and (not isinstance(body, dict) or body.get("type") is None):
            complaints.missing("type", noun, path)
        kind = fields.get("type", "object")
        if kind not in _VALUES and not (
            key == "init" and kind.endswith(("Connection", "ModelConfiguration"))
        ):
            hint = near_miss(kind, _VALUES)
            complaints.add(
                "wrong-type", f"expected one of {', '.join(_VALUES)}, got {kind!r}", (*path, "type"), hint
            )
        fields.pop("is_chat_output", None)
        found[name] = FlowInput(**{**fields, "type": kind})
    return found


def _compare(
    declared: Mapping[str, FlowInput], known: Signature | None, key: str, complaints: Complaints
) -> None:
    """Complain where the file declares what the script does not take, or leaves out what it needs."""
    if known is None or not declared or not known.is_whole:
        return
    taken = known.inputs if key == "inputs" else known.init
    what = "the entry" if key == "inputs" else "__init__"
    for name in declared:
        if name not in taken:
            hint = near_miss(name, taken) or f"it takes: {', '.join(taken) or 'nothing'}"
            complaints.add("unknown-parameter", f"{what} has no parameter {name!r}", (key, name), hint)
    for name, port in taken.items():
        if name not in declared and port.default is None and not port.optional:
            complaints.add("missing-argument", f"{what} needs {name!r}, which is not declared", (key,))


def _environment(data: Mapping[Any, Any], complaints: Complaints) -> dict[str, str]:
    path: KeyPath = ("environment_variables",)
    for name, (_, where) in complaints.entries(data, path).items():
        if is_forbidden(name):
            complaints.add("forbidden-variable", f"a flow may not set {name!r}", where)
    return {str(name): text_of(value) for name, value in data.items()}
