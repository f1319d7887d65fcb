"""What does a flow look like with its `additional_includes`? One folder that holds both.

Prompt flow (flow-language 1.11): flow and includes are merged in a temporary folder, files and folders by
their names; an included file takes the place of one of the flow's own, an included folder is laid over one of
its name, and `x.zip` where there is only a folder `x` is that folder zipped.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from promptflow_lite.errors import Diagnostic, FlowError, near_miss
from promptflow_lite.flow.spec import Flow

__all__ = ["check_includes", "locate", "materialize"]

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
    missing = check_includes(flow)
    if missing:
        raise FlowError(missing)
    folder = Path(tempfile.mkdtemp(prefix="promptflow_lite-")).resolve()
    at_close(lambda: shutil.rmtree(folder, ignore_errors=True))
    _lay(flow.folder, folder)
    for text in flow.additional_includes:
        source = (flow.folder / text).resolve()
        if source.exists():
            _lay(source, folder / source.name)
        else:
            shutil.make_archive(str(folder / source.stem), "zip", source.parent, source.stem)
    return flow.derive(folder=folder, additional_includes=())


def check_includes(flow: Flow) -> list[Diagnostic]:
    """A complaint for each include that is not there."""
    found = (_missing(flow, index) for index in range(len(flow.additional_includes)))
    return [complaint for complaint in found if complaint is not None]


def locate(flow: Flow, path: str) -> Path | None:
    """Where a file of the flow stands before flow and includes are one folder; `None` if nowhere."""
    for text in reversed(flow.additional_includes):
        source = (flow.folder / text).resolve()
        if source.is_file() and source.name == path:
            return source
        within = Path(path).parts
        if source.is_dir() and within[:1] == (source.name,) and source.joinpath(*within[1:]).is_file():
            return source.joinpath(*within[1:])
    own = flow.folder / path
    return own if own.exists() else None


def _missing(flow: Flow, index: int) -> Diagnostic | None:
    text = flow.additional_includes[index]
    path = (flow.folder / text).resolve()
    if path.exists() or (path.suffix == ".zip" and path.with_suffix("").is_dir()):
        return None
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
