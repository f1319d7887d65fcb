"""Which flow stands at a path? Three front ends that make the same Flow.

A folder with flow.dag.yaml or flow.flex.yaml, such a file by any name, a .prompty, or `module:function`.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path

from promptflow_lite.errors import Diagnostic, FlowError, Mark, UserError, near_miss
from promptflow_lite.flow.check import check
from promptflow_lite.flow.flex import flow_of_entry
from promptflow_lite.flow.parse import flow_of
from promptflow_lite.flow.prompty import read_prompty
from promptflow_lite.flow.source import Document, read_yaml
from promptflow_lite.flow.spec import Flow

__all__ = ["find_flow", "is_entry", "load_flow"]

_DAG = ("flow.dag.yaml", "flow.dag.yml")
_FLEX = ("flow.flex.yaml", "flow.flex.yml")


def load_flow(source: str | Path) -> Flow:
    """The flow at `source`, read and not yet checked: `flow.check` does that.

    A file whose keys are wrong is checked at once, as far as it can be read, so that one pass
    says everything. No user code is imported: the entry of a flex flow is read as a syntax tree.

    Args:
        source: a folder that holds a flow file or one .prompty; a flow file of any name; a .prompty; or
            `module:function` (`module:Class`), the module in the working directory or in a folder before it.

    Raises:
        UserError: no flow is there.
        FlowError: the keys of the file are wrong; holds the complaints of `flow.check` too, in the order of
            the file's lines.
    """
    entry = _entry_of(source)
    if entry is not None:
        return _whole(*_of_entry(*entry))
    path = find_flow(source)
    if path.suffix == ".prompty":
        return _whole(*read_prompty(path))
    document = read_yaml(path)
    folder = path.parent.absolute()
    name = folder.name if path.name in (*_DAG, *_FLEX) else path.stem
    if document.data is None:
        raise FlowError([Diagnostic("empty-file", "the file is empty", Mark(document.file, 1, 1))])
    if _is_flex(document, path):
        return _whole(*flow_of_entry(document, folder, name))
    return _whole(*flow_of(document, folder, name))


def _whole(flow: Flow, found: list[Diagnostic]) -> Flow:
    if found:
        raise FlowError(sorted([*found, *_further(flow, found)], key=attrgetter("place")))
    return flow


def _further(flow: Flow, found: Sequence[Diagnostic]) -> list[Diagnostic]:
    """What the checks say of a flow that could not be read whole; silent where that would be guessing."""
    data = flow.document.data
    listed = data.get("nodes") if isinstance(data, dict) else None
    if not isinstance(listed, list) or len(listed) != len(flow.nodes):
        return []  # a node was dropped: places would shift, and references to it would seem wrong
    marks = {complaint.mark for complaint in found}
    return [c for c in check(flow) if c.severity == "error" and c.mark not in marks]


def find_flow(source: str | Path) -> Path:
    """The flow file that `source` means.

    Raises:
        UserError: there is none, or more than one.
    """
    path = Path(source)
    if path.is_dir():
        return _in_folder(path)
    if not path.exists():
        raise _nothing_at(path)
    return path


def is_entry(source: str | Path) -> bool:
    """Whether `source` is written `module:function`, and no such path is there."""
    return _entry_of(source) is not None


def _in_folder(folder: Path) -> Path:
    known = [folder / name for name in (*_DAG, *_FLEX) if (folder / name).exists()]
    prompts = sorted(folder.glob("*.prompty"))
    found = known or prompts
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise UserError(
            f"{folder} holds more than one flow: {names}", code="ambiguous-flow", hint="name the file"
        )
    if found:
        return found[0]
    others = [path.name for path in sorted(folder.glob("*.y*ml"))]
    hint = (
        f"name the file if the flow is one of: {', '.join(others)}" if others else "'pf flow init' writes one"
    )
    raise UserError(
        f"there is no flow.dag.yaml, flow.flex.yaml or .prompty in {str(folder)!r}",
        code="flow-not-found",
        hint=hint,
    )


def _is_flex(document: Document, path: Path) -> bool:
    """Prompt flow took an `entry` in a flow.dag.yaml, too."""
    data = document.data
    has_entry = isinstance(data, dict) and "entry" in data
    return path.name in _FLEX or (has_entry and "nodes" not in data)


def _entry_of(source: str | Path) -> tuple[Path, str] | None:
    """The folder and the entry that `folder/module:function` means; `None` if it is a path."""
    text = str(source)
    place, colon, name = text.rpartition(":")
    path = Path(place)
    if not colon or not name.isidentifier() or Path(text).exists() or not path.name:
        return None
    module = path.name.removesuffix(".py")
    if not all(part.isidentifier() for part in module.split(".")):
        return None
    return path.parent.absolute(), f"{module}:{name}"


def _of_entry(folder: Path, entry: str) -> tuple[Flow, list[Diagnostic]]:
    document = Document(file="", data={"entry": entry})
    return flow_of_entry(document, folder, entry.replace(":", "_"))


def _nothing_at(path: Path) -> UserError:
    siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    return UserError(
        f"there is nothing at {str(path)!r}", code="flow-not-found", hint=near_miss(path.name, siblings)
    )
