"""What does Kubernetes need to run an endpoint? A Deployment of it, a Service, and its file as a ConfigMap.

Kubernetes API: apps/v1 Deployment, v1 Service, v1 ConfigMap; pod security standard "restricted".
"""

from __future__ import annotations

import hashlib
from typing import Any

from promptflow_lite.packaging.plan import GRACE_S, HOME, LEAVE_S, WRITTEN, Plan
from promptflow_lite.packaging.yaml import block, text_of

__all__ = ["secret_command", "text"]

_HEAD = """\
Each pod holds the whole endpoint: its front process splits the traffic among the deployments as endpoint.yml
says, which is in the ConfigMap. More replicas split each for itself by the same percents, and the turns of a
chat with the affinity header go to the same deployment in every pod. To change the traffic change
endpoint.yml, say 'pf endpoint build' and apply again: the pods are replaced one after the other.
What callers say (feedback) and what data_collector keeps lies in volumes that end with the pod: where it
shall stay, put a claim in the place of emptyDir.
The secret is only named here; make it before the first time:
"""


def text(plan: Plan, file: str, endpoint: str) -> str:
    """The file.

    Args:
        plan: the container.
        file: the name of the endpoint's file.
        endpoint: what stands in it.
    """
    head = f"{_HEAD}  {secret_command(plan)}"
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _named(plan),
        "data": {file: block(endpoint)},
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _named(plan),
        "spec": {
            "selector": _labels(plan),
            "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
        },
    }
    return text_of(head, config, _deployment(plan, file, endpoint), service)


def secret_command(plan: Plan) -> str:
    """The command that makes the secret; the values are the user's."""
    values = " ".join(f"--from-literal={name}=..." for name in plan.variables)
    return f"kubectl create secret generic {plan.name} {values}".rstrip()


def _deployment(plan: Plan, file: str, endpoint: str) -> dict[str, Any]:
    digest = hashlib.sha256(endpoint.encode()).hexdigest()
    pod = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": GRACE_S,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": plan.user,
            "fsGroup": plan.user,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(plan, file)],
        "volumes": [
            {"name": "endpoint", "configMap": {"name": plan.name}},
            *({"name": name, "emptyDir": {}} for name in WRITTEN),
            *([_weights(plan)] if plan.is_local else []),
        ],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _named(plan),
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": _labels(plan)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {
                "metadata": {
                    "labels": _labels(plan),
                    "annotations": {"promptflow-lite/endpoint-sha256": digest},  # a changed file is a new pod
                },
                "spec": pod,
            },
        },
    }


def _container(plan: Plan, file: str) -> dict[str, Any]:
    health = {"httpGet": {"path": "/health", "port": "http"}, "timeoutSeconds": 5}
    mounts = [
        {"name": "endpoint", "mountPath": f"/app/{file}", "subPath": file, "readOnly": True},
        *({"name": name, "mountPath": f"{HOME}/{name}"} for name in WRITTEN),
        *([{"name": "models", "mountPath": "/models", "readOnly": True}] if plan.is_local else []),
    ]
    memory = f"{plan.memory_mb}Mi"
    return {
        "name": "endpoint",
        "image": plan.image,
        "ports": [{"name": "http", "containerPort": plan.port}],
        "env": [
            {"name": name, "valueFrom": {"secretKeyRef": {"name": plan.name, "key": name}}}
            for name in plan.variables
        ],
        "volumeMounts": mounts,
        # No new caller is sent to a pod that ends, but that takes a moment to be known everywhere.
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", str(LEAVE_S)]}}},
        "resources": {
            "requests": {"cpu": f"{round(plan.cpus * 500)}m", "memory": memory},
            "limits": {"memory": memory},
        },
        "startupProbe": {**health, "periodSeconds": 2, "failureThreshold": 90},
        "readinessProbe": {**health, "periodSeconds": 5},
        "livenessProbe": {**health, "periodSeconds": 15, "failureThreshold": 4},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }


def _weights(plan: Plan) -> dict[str, Any]:
    """The embedded model's weights: a claim that somebody has filled, or an image that has them."""
    return {"name": "models", "persistentVolumeClaim": {"claimName": f"{plan.name}-models", "readOnly": True}}


def _named(plan: Plan) -> dict[str, Any]:
    return {"name": plan.name, "labels": _labels(plan)}


def _labels(plan: Plan) -> dict[str, str]:
    return {"app.kubernetes.io/name": plan.name}
