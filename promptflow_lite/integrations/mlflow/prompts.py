"""How do prompts come from MLflow's prompt registry, and how do a flow's own get there?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from promptflow_lite.errors import UserError
from promptflow_lite.flow.registered import TYPES, Registered, Wanted
from promptflow_lite.flow.spec import Flow, Node
from promptflow_lite.flow.variants import choose_variants
from promptflow_lite.integrations.mlflow.reach import Store, reached
from promptflow_lite.prompts.chat import ROLES
from promptflow_lite.tools.prompt import template_of

if TYPE_CHECKING:
    from mlflow.entities.model_registry import PromptVersion

__all__ = ["Kept", "fetch", "register"]

_WORDS = {"model_name": "model", "stop_sequences": "stop"}
"""What MLflow's `PromptModelConfig` calls otherwise than a call does."""
_ROLE_LINE = re.compile(rf"^\s*#?\s*(?:{'|'.join(ROLES)})\s*:\s*$", re.MULTILINE | re.IGNORECASE)


def fetch(prompt: Wanted) -> Registered:
    """A version of a prompt, from the registry of `MLFLOW_TRACKING_URI` (`MLFLOW_REGISTRY_URI` goes over it).

    Raises:
        UserError: the registry has none (`prompt-not-found`), or cannot be reached (`prompts-away`); a chat
            prompt cannot be a template (`bad-registered-prompt`).
    """
    try:
        with reached(failed="gives no prompts") as store:
            return _registered(_load(store, prompt))
    except ConnectionError as error:
        raise UserError(
            f"{prompt.uri}: {error}",
            code="prompts-away",
            hint="MLFLOW_TRACKING_URI says where the registry is",
        ) from error


def _load(store: Store, prompt: Wanted) -> PromptVersion:
    from mlflow.exceptions import MlflowException

    found: PromptVersion | None = None
    try:
        if prompt.alias is not None:
            found = store.client.get_prompt_version_by_alias(prompt.name, prompt.alias)
        else:
            found = store.client.get_prompt_version(prompt.name, str(prompt.version))
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND"):
            raise
    if found is None:
        what = f"version {prompt.version}" if prompt.alias is None else f"alias {prompt.alias!r}"
        raise UserError(
            f"MLflow at {store.shown} has no prompt {prompt.name!r} with the {what}",
            code="prompt-not-found",
            hint="pf flow register-prompts  registers a flow's own; MLFLOW_TRACKING_URI says where to look",
        )
    return found


def _registered(found: PromptVersion) -> Registered:
    template: Any = found.template
    if not isinstance(template, str):
        template = "".join(_message(found, message) for message in template)
    return Registered(found.name, int(found.version), template, _parameters(found))


def _parameters(found: PromptVersion) -> dict[str, Any]:
    """Its `model_config` and `response_format` in the words of a call.

    A format may be a schema alone, which is what MLflow keeps of a Pydantic class; only that of an object can
    be asked for. `provider` is left to the node's connection: it says who is asked.
    """
    said = {_WORDS.get(key, key): value for key, value in (found.model_config or {}).items()}
    said.pop("provider", None)
    wanted = found.response_format or {}
    if wanted.get("type") == "object":
        name = re.sub(r"[^A-Za-z0-9_-]", "_", found.name)[:64]
        wanted = {"type": "json_schema", "json_schema": {"name": name, "schema": wanted}}
    if wanted.get("type") in ("text", "json_object", "json_schema"):
        said.setdefault("response_format", wanted)
    return said


def _message(found: PromptVersion, message: Mapping[str, Any]) -> str:
    role, content = message.get("role"), message.get("content")
    if role not in ROLES or not isinstance(content, str) or _ROLE_LINE.search(content):
        raise UserError(
            f"{found.uri} cannot be a template: its message {message!r:.200} is no text of one role",
            code="bad-registered-prompt",
        )
    return f"{role}:\n{content.strip()}\n\n"


class Kept(NamedTuple):
    """A node's prompt, in the registry."""

    node: str
    variant: str | None
    uri: str
    is_new: bool
    """Whether this text was not the latest version already."""


def register(
    flow: Flow, *, name: str | None = None, alias: str | None = None, message: str = ""
) -> list[Kept]:
    """Register the templates of a flow's nodes, those of all variants; a text that is there makes no version.

    Args:
        flow: as it was loaded.
        name: what the names begin with; `None`: the flow's. `-node` follows, and `-variant` where there are
            several.
        alias: is set to each of them.
        message: of the new versions.

    Raises:
        FlowError: a template cannot be read.
        ConnectionError: the registry cannot be reached, or refused.
    """
    found = list(_templates(flow))
    begin = re.sub(r"[^\w.-]", "-", name or flow.name)
    with reached(failed="took no prompts") as store:
        return [
            _keep(store, "-".join([begin, *which]), text, alias=alias, message=message)._replace(
                node=which[0], variant=which[1] if len(which) > 1 else None
            )
            for which, text in found
        ]


def _templates(flow: Flow) -> Iterator[tuple[list[str], str]]:
    """Node, variant where there are several, and the template of each."""
    for node in flow.nodes:
        variants = flow.node_variants.get(node.name)
        if variants is None:
            if _has_file(node):
                yield [node.name], template_of(node, flow)[0]
            continue
        for variant in variants.variants:
            chosen = choose_variants(flow, {node.name: variant})
            if _has_file(own := chosen.node(node.name)):
                yield [node.name, variant], template_of(own, chosen)[0]


def _has_file(node: Node) -> bool:
    source = node.source
    return (
        node.type in TYPES
        and source is not None
        and source.path is not None
        and not source.path.startswith("prompts:")
        and Path(source.path).suffix != ".py"
    )


def _keep(store: Store, name: str, text: str, *, alias: str | None, message: str) -> Kept:
    known = store.client.get_prompt(name)
    versions = list(store.client.search_prompt_versions(name)) if known is not None else []
    latest = max(versions, key=lambda one: int(one.version), default=None)
    is_new = latest is None or latest.template != text
    if latest is None or latest.template != text:
        latest = store.client.register_prompt(name, text, commit_message=message or None)
    if alias is not None:
        store.client.set_prompt_alias(name, alias, int(latest.version))
    return Kept("", None, latest.uri, is_new)
