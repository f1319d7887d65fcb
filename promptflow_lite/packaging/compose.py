"""What does Compose need to run an endpoint? One service: the endpoint splits its traffic itself.

Compose Specification: services, volumes, interpolation.
"""

from __future__ import annotations

from typing import Any

from promptflow_lite.packaging.plan import GRACE_S, HOME, WRITTEN, Plan
from promptflow_lite.packaging.yaml import text_of

__all__ = ["text"]

_HEAD = """\
One container holds the endpoint: its front process splits the traffic among the deployments as endpoint.yml
says. After a change there: docker compose restart. Secrets come from .env; none is in the image."""


def text(plan: Plan, endpoint: str) -> str:
    """The file.

    Args:
        plan: the container.
        endpoint: the endpoint's file, beside it.
    """
    return text_of(_HEAD, _file(plan, endpoint))


def _file(plan: Plan, endpoint: str) -> dict[str, Any]:
    volumes = [f"./{endpoint}:/app/{endpoint}:ro", *(f"{name}:{HOME}/{name}" for name in WRITTEN)]
    if plan.is_local:
        volumes.append("${PF_MODELS:-~/.promptflow-lite/models}:/models:ro")
    service = {
        "build": ".",
        "image": plan.image,
        "ports": [f"127.0.0.1:{plan.port}:{plan.port}"],
        "environment": {name: f"${{{name}:?set it in .env}}" for name in plan.variables},
        "volumes": volumes,
        "restart": "unless-stopped",
        "stop_grace_period": f"{GRACE_S}s",
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "deploy": {"resources": {"limits": {"cpus": str(plan.cpus), "memory": f"{plan.memory_mb}M"}}},
    }
    if not plan.variables:
        del service["environment"]
    return {"name": plan.name, "services": {plan.name: service}, "volumes": {name: {} for name in WRITTEN}}
