"""What does a flow look like with its `additional_includes`? One folder that holds both.

Prompt flow (flow-language 1.11): flow and includes are merged in a temporary folder, files and folders by
their names; an included file takes the place of one of the flow's own, an included folder is laid over one of
its name.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from promptflow_lite.errors import Diagnostic, FlowError, near_miss
from promptflow_lite.flow.spec import Flow

__all__ = ["materialize"]

_LEFT_OUT = shutil.ignore_patterns(".git", ".promptflow", "__pycache__", ".venv", "node_modules")


def materialize(flow: Flow, at_close: Callable[[Callable[[], None]], None]) -> Flow:
    """The flow in a temporary folder with what it includes; one that includes nothing comes back as it is.

    Args:
        flow: any flow.
        at_close: is given the function that removes the folder.

    Raises:
        FlowError: an include is not there (`include-not-found`); the complaint names each.
    """
    if not flow.additional_includes:
        return flow
    sources = [_source(flow, index) for index in range(len(flow.additional_includes))]
    missing = [found for found in sources if isinstance(found, Diagnostic)]
    if missing:
        raise FlowError(missing)
    folder = Path(tempfile.mkdtemp(prefix="promptflow_lite-")).resolve()
    at_close(lambda: shutil.rmtree(folder, ignore_errors=True))
    _lay(flow.folder, folder)
    for source in sources:
        if isinstance(source, Path):
            _lay(source, folder / source.name)
    return flow.derive(folder=folder)


def _source(flow: Flow, index: int) -> Path | Diagnostic:
    text = flow.additional_includes[index]
    path = (flow.folder / text).resolve()
    if path.exists():
        return path
    siblings = [sibling.name for sibling in path.parent.iterdir()] if path.parent.is_dir() else []
    mark = flow.at("additional_includes", index)
    return Diagnostic(
        "include-not-found", f"there is nothing at {text!r}", mark, near_miss(path.name, siblings)
    )


def _lay(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=_LEFT_OUT, dirs_exist_ok=True)
    else:
        shutil.copy2(source, target)
