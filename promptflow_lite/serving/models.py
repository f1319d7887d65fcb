"""Which flow is behind `models:/name@champion`? The plugin `mlflow` of `promptflow_lite.models` knows."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol

from promptflow_lite.registry import Registry

__all__ = ["Fetch", "Fetched", "fetch"]


class Fetched(NamedTuple):
    """A model's flow."""

    pinned: str
    """The address with its version."""
    source: str | None
    """The path of the flow; `None` where that version was there already."""


class Fetch(Protocol):
    """What the group holds."""

    def __call__(self, uri: str, into: Path, *, have: str = "") -> Fetched:
        """The flow of a model.

        Args:
            uri: the model's address.
            into: a folder to make.
            have: the version there is already, which is not fetched again.

        Raises:
            UserError: there is no such model, or it holds no flow.
        """
        ...


def fetch(uri: str, into: Path, *, have: str = "") -> Fetched:
    """The flow of a model of MLflow.

    Raises:
        UserError: there is no such model, or it holds no flow.
        PromptflowError: the registry cannot be reached.
    """
    found: Fetch = Registry("models").get("mlflow")
    return found(uri, into, have=have)
