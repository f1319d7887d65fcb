"""What does a .prompty file say? A front matter in YAML and a template, as a Flow of one node.

Prompt flow: core/_flow.py `Prompty`, core/_model_configuration.py `PromptyModelConfiguration` (flow-language
4.1). `${env:NAME}` stays as it is here; `tools.prompty` reads the variable.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from promptflow_lite.errors import Diagnostic, FlowError, Mark, near_miss
from promptflow_lite.flow.complaints import Complaints
from promptflow_lite.flow.front_matter import (
    MODEL,
    PROMPTY,
    configuration_in,
    environment_in,
    inputs_in,
    mapping_in,
    outputs_in,
    parameters_in,
)
from promptflow_lite.flow.refs import Ref
from promptflow_lite.flow.source import Document, parse_yaml, read_text
from promptflow_lite.flow.spec import Flow, FlowOutput, Node, Source
from promptflow_lite.flow.written import with_files

__all__ = ["Prompt", "changed", "check_prompt", "read_prompty", "template_of"]

_FENCE = re.compile(r"^-{3,}[^\S\n]*$", re.MULTILINE)


@dataclass(frozen=True)
class Prompt:
    """What a prompty says of its prompt and its model. The `settings` of its node."""

    api: str
    configuration: Any
    """A mapping as it stands in the file, or what Python code gave: a model configuration, a connection."""
    parameters: dict[str, Any]
    response: str
    keys: tuple[str, ...]
    """What is taken of an answer in JSON; all of it if empty."""
    template: str = field(repr=False)
    file: str = ""
    line: int = 1
    """Where the template begins."""
    front: dict[str, Any] = field(default_factory=dict, repr=False)
    """The front matter, files read, changes made."""
    warnings: tuple[Diagnostic, ...] = ()
    """What is wrong with it and stops nothing."""

    @property
    def model(self) -> str | None:
        """The model or deployment that it names."""
        if isinstance(self.configuration, Mapping):
            found = self.configuration.get("azure_deployment") or self.configuration.get("model")
        else:
            found = getattr(self.configuration, "azure_deployment", None) or getattr(
                self.configuration, "model", None
            )
        return found if isinstance(found, str) else None


def read_prompty(
    path: Path, changes: Mapping[str, Any] | None = None, *, shown: str | None = None
) -> tuple[Flow, list[Diagnostic]]:
    """The flow that a prompty is, as far as it can be read, and what is wrong with its front matter.

    Args:
        path: the file.
        changes: keys of the front matter that are other, mappings key by key.
        shown: how complaints name the file; default: `path` itself.

    Raises:
        FlowError: `unreadable-file`; `bad-prompty`, if it has no front matter; what YAML may have wrong.
    """
    name = shown or str(path)
    text = read_text(path, shown=name)
    fences = list(_FENCE.finditer(text))
    if len(fences) < 2 or text[: fences[0].start()].strip():
        message = "expected a front matter between two lines of '---', and the template after it"
        raise FlowError([Diagnostic("bad-prompty", message, Mark(name, 1, 1))])
    start, end = fences[0], fences[1]
    above = text.count("\n", 0, start.end())
    document = parse_yaml("\n" * above + text[start.end() : end.start()], name)
    template = text[end.end() :].removeprefix("\n")
    line = text.count("\n", 0, end.end()) + 2
    return _flow_of(document, template, line, path, changes or {})


def changed(flow: Flow, changes: Mapping[str, Any]) -> Flow:
    """The prompty with other values for keys of its front matter, mappings key by key.

    Raises:
        FlowError: what is wrong with it then.
    """
    prompt: Prompt = flow.nodes[0].settings
    document = flow.document
    made, found = _flow_of(
        document, prompt.template, prompt.line, Path(flow.folder, Path(prompt.file).name), changes
    )
    if found:
        raise FlowError(found)
    return made.derive(init_values=dict(changes))


def template_of(prompt: Prompt) -> str:
    """The template with what stands above it as a comment, so that complaints have the file's lines."""
    return "{#" + "\n" * max(prompt.line - 2, 0) + "#}\n" + prompt.template


def check_prompt(flow: Flow, connections: Collection[str] | None = None) -> list[Diagnostic]:
    """What is wrong with the template of a prompty, and with the connection that it names.

    Args:
        flow: a prompty.
        connections: the names of those that exist; `None` leaves the connection unchecked.
    """
    from promptflow_lite.prompts.chat import compile_chat  # noqa: PLC0415  # heavy: jinja2, 40 ms

    prompt: Prompt = flow.nodes[0].settings
    try:
        chat = compile_chat(template_of(prompt), prompt.file, images=True, lists_as_lines=True)
    except FlowError as error:
        return list(error.diagnostics)
    found = list(prompt.warnings)
    named = prompt.configuration.get("connection") if isinstance(prompt.configuration, dict) else None
    if connections is not None and isinstance(named, str) and named != "local" and named not in connections:
        hint = near_miss(named, connections) or "'pf connection list' shows those that exist"
        place = flow.at("model", "configuration", "connection")
        found.append(Diagnostic("unknown-connection", f"no connection is named {named!r}", place, hint))
    mark = Mark(prompt.file, prompt.line, 1)
    if prompt.api == "chat" and not chat.has_roles:
        hint = "a chat prompt has role lines such as 'system:' and 'user:', each alone on its line"
        found.append(Diagnostic("chat-without-role", "the template opens no message", mark, hint))
    for name in sorted(chat.variables - flow.inputs.keys()):
        unused = [known for known in flow.inputs if known not in chat.variables]
        message = f"the template reads {name!r}, which is no input"
        hint = near_miss(name, unused) or "declare it under inputs"
        found.append(Diagnostic("template-variable-unset", message, mark, hint, "warning"))
    return found


def _flow_of(
    document: Document, template: str, line: int, path: Path, changes: Mapping[str, Any]
) -> tuple[Flow, list[Diagnostic]]:
    complaints = Complaints(document)
    folder = path.parent.absolute()
    front, warnings = _front_of(document, folder, changes, complaints)
    data = complaints.fields(front, PROMPTY, (), "a prompty")
    model = complaints.fields(data.get("model", {}), MODEL, ("model",), "a model")
    sample = mapping_in(data.get("sample", {}), ("sample",), complaints)
    inputs = inputs_in(data.get("inputs", {}), sample, complaints)
    declared = outputs_in(data.get("outputs", {}), complaints)
    prompt = Prompt(
        api=model.get("api", "chat"),
        configuration=configuration_in(model.get("configuration", {}), complaints),
        parameters=parameters_in(model.get("parameters", {}), model.get("api", "chat"), complaints),
        response=model.get("response", "first"),
        keys=tuple(declared),
        template=template,
        file=document.file,
        line=line,
        front=front if isinstance(front, dict) else {},
        warnings=warnings,
    )
    name = _node_name(path)
    node = Node(
        name,
        "prompty",
        Source(path=path.name),
        {key: Ref("inputs", key) for key in inputs},
        api=prompt.api,
        settings=prompt,
    )
    flow = Flow(
        name=path.stem,
        display_name=data.get("name") or data.get("display_name"),
        description=data.get("description"),
        type=data.get("type", "standard"),
        inputs=inputs,
        outputs=_outputs_of(name, declared, is_json=_is_json(prompt.parameters)),
        nodes=(node,),
        environment=data.get("environment", {}),
        environment_variables=environment_in(data.get("environment_variables", {}), complaints),
        tags=data["tags"] if isinstance(data.get("tags"), dict) else {},
        spread=name,
        sample=sample,
        document=document,
        folder=folder,
    )
    return flow, complaints.found


def _front_of(
    document: Document, folder: Path, changes: Mapping[str, Any], complaints: Complaints
) -> tuple[Any, tuple[Diagnostic, ...]]:
    """The front matter with the files it names read and `changes` over it; warnings of its sample."""
    front = document.data if document.data is not None else {}
    if not isinstance(front, dict):
        return front, ()
    told = Complaints(document)
    own = {**front, "sample": _sample(front.get("sample"), folder, told)}
    changed = _over(
        with_files(own, folder, (), complaints.add), with_files(dict(changes), folder, (), complaints.add)
    )
    return changed, tuple(replace(complaint, severity="warning") for complaint in told.found)


def _node_name(path: Path) -> str:
    """What the one node is called: as the file, as far as a node may be."""
    name = re.sub(r"[^\w\- ]", "_", path.stem) or "prompt"
    return f"{name}_" if name in ("inputs", "flow") else name


def _outputs_of(node: str, declared: Mapping[str, FlowOutput], *, is_json: bool) -> dict[str, FlowOutput]:
    """The flow's outputs: the keys of the answer that are declared, or the answer as it is."""
    if not is_json or not declared:
        whole = Ref("node", node)
        return {"output": FlowOutput("object" if is_json else "string", whole, is_chat_output=True)}
    return {
        key: FlowOutput(output.type, Ref("node", node, (key,)), output.description)
        for key, output in declared.items()
    }


def _sample(value: Any, folder: Path, told: Complaints) -> Any:
    """The sample, its file read; one whose file is not there is none, which matters to those who use it."""
    if isinstance(value, str) and value.endswith(".json"):  # Prompt flow takes the bare name, too
        value = f"${{file:{value.removeprefix('file:')}}}"
    found = with_files(value, folder, ("sample",), told.add)
    return None if told.found and found is value else found


def _is_json(parameters: Mapping[str, Any]) -> bool:
    wanted = parameters.get("response_format")
    return isinstance(wanted, Mapping) and wanted.get("type") == "json_object"


def _over(origin: Any, changes: Mapping[str, Any]) -> dict[str, Any]:
    """`origin` with `changes` laid over it, mapping by mapping."""
    known = origin if isinstance(origin, dict) else {}
    return {
        **known,
        **{
            key: _over(known.get(key, {}), value) if isinstance(value, dict) else value
            for key, value in changes.items()
        },
    }
