"""What is a deployment loaded from? Our copy of a flow's folder, or a model that was fetched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from promptflow_lite.flow.spec import Flow
from promptflow_lite.serving.asked import Asked
from promptflow_lite.serving.deployment import flow_of
from promptflow_lite.serving.kept import Folder
from promptflow_lite.serving.models import fetch
from promptflow_lite.serving.names import check_name

__all__ = ["loaded"]


def loaded(
    kept: Folder[Any],
    name: str,
    asked: Asked,
    before: Mapping[str, Any],
    body: Mapping[str, Any],
    *,
    environment_variables: Mapping[str, str] | None,
    check: Callable[[Flow], None] = lambda flow: None,
) -> dict[str, Any]:
    """A deployment's keys with `source`, and `flow` and `model` as they are kept; its flow was checked.

    Args:
        kept: the endpoint.
        name: the deployment's.
        asked: what is asked for now.
        before: the keys of the deployment of that name that is there; empty where there is none.
        body: the same, with what is asked for over them.
        environment_variables: the flow's.
        check: refuses a flow, before anything is copied.

    Raises:
        UserError: the name cannot be one, there is no flow, or the flow is wrong.
        PromptflowError: the registry of the model cannot be reached.
    """
    check_name(name, "a deployment")
    if not body.keys() & {"flow", "model"}:
        hint = "flow: ../my_flow, or model: models:/name@champion"
        raise asked.refuse("flow", f"deployment {name!r} needs a flow", "missing-key", hint)

    def checked(source: str) -> Flow:
        flow = flow_of(
            source,
            variants=body.get("variants"),
            environment_variables=environment_variables,
            init=body.get("init"),
        )
        check(flow)
        return flow

    if "flow" in asked.body:
        if "model" in asked.body:
            raise asked.refuse("model", "a deployment has a flow or a model, not both", "flow-and-model")
        flow = checked(body["flow"])
        return {**body, "model": "", "source": kept.copy(flow, name) or body["flow"]}
    if not body.get("model"):
        checked(body["source"])
        return dict(body)
    have = before["flow"] if before.get("model") else ""
    found = fetch(body["model"], kept.place_for(name), have=have)
    source = found.source or body["source"]
    checked(source)
    return {**body, "flow": found.pinned, "source": source}
