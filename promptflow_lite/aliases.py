"""Who answers `import promptflow`? An import finder over a table of names; it imports nothing by itself.

It goes first among the finders, so that a process run by our engine never mixes in the real package, and it
goes on only when user code is about to be imported.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

__all__ = ["ALIASES", "install"]

ALIASES = {
    "promptflow": "promptflow_lite.compat",
    "promptflow._core": "promptflow_lite.compat._core",
    "promptflow._core.tool": "promptflow_lite.compat._core.tool",
    "promptflow._internal": "promptflow_lite.compat.internal",
    "promptflow._sdk": "promptflow_lite.compat.sdk",
    "promptflow._sdk._constants": "promptflow_lite.compat.sdk_constants",
    "promptflow._sdk._errors": "promptflow_lite.compat.sdk_errors",
    "promptflow._sdk._pf_client": "promptflow_lite.compat.client",
    "promptflow._sdk.entities": "promptflow_lite.compat.entities",
    "promptflow._utils": "promptflow_lite.compat._utils",
    "promptflow._utils.logger_utils": "promptflow_lite.compat._utils.logger_utils",
    "promptflow._utils.yaml_utils": "promptflow_lite.compat._utils.yaml_utils",
    "promptflow.client": "promptflow_lite.compat.client",
    "promptflow.connections": "promptflow_lite.compat.connections",
    "promptflow.contracts": "promptflow_lite.compat.contracts",
    "promptflow.contracts.multimedia": "promptflow_lite.compat.contracts.multimedia",
    "promptflow.contracts.types": "promptflow_lite.compat.contracts.types",
    "promptflow.core": "promptflow_lite.compat.core",
    "promptflow.core._flow": "promptflow_lite.compat.core",
    "promptflow.core._model_configuration": "promptflow_lite.compat.core",
    "promptflow.entities": "promptflow_lite.compat.entities",
    "promptflow.exceptions": "promptflow_lite.compat.exceptions",
    "promptflow.tools": "promptflow_lite.compat.tools",
    "promptflow.tools.aoai": "promptflow_lite.compat.tools.aoai",
    "promptflow.tools.aoai_gpt4v": "promptflow_lite.compat.tools.aoai_gpt4v",
    "promptflow.tools.azure_content_safety": "promptflow_lite.compat.tools.azure_content_safety",
    "promptflow.tools.common": "promptflow_lite.compat.tools.common",
    "promptflow.tools.embedding": "promptflow_lite.compat.tools.embedding",
    "promptflow.tools.exception": "promptflow_lite.compat.tools.exception",
    "promptflow.tools.llm": "promptflow_lite.compat.tools.llm",
    "promptflow.tools.llm_vision": "promptflow_lite.compat.tools.llm_vision",
    "promptflow.tools.openai": "promptflow_lite.compat.tools.openai",
    "promptflow.tools.openai_gpt4v": "promptflow_lite.compat.tools.openai_gpt4v",
    "promptflow.tools.serpapi": "promptflow_lite.compat.tools.serpapi",
    "promptflow.tools.template_rendering": "promptflow_lite.compat.tools.template_rendering",
    "promptflow.tracing": "promptflow_lite.compat.tracing",
}
"""Prompt flow's module to the one that stands in for it."""


def install() -> None:
    """Let `import promptflow...` find our names. Calling it again changes nothing."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] != "promptflow":
            return None
        ours = ALIASES.get(fullname)
        if ours is None:
            raise ModuleNotFoundError(
                f"{fullname} is not part of promptflow_lite; docs/compat.md lists what is", name=fullname
            )
        return ModuleSpec(fullname, _Loader(ours), is_package=True)


class _Loader(Loader):
    def __init__(self, ours: str) -> None:
        self._ours = ours

    def exec_module(self, module: ModuleType) -> None:
        ours = import_module(self._ours)
        if not hasattr(ours, "__path__"):
            ours.__path__ = []  # so that a name below it comes to our finder, which says where to look
        # The import system takes what stands in sys.modules afterwards: the very module, not a copy of it.
        sys.modules[module.__name__] = ours
