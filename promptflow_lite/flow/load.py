"""Which flow stands at a path? A folder with flow.dag.yaml, or a YAML file, to a Flow."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path

from promptflow_lite.errors import Diagnostic, FlowError, Mark, UserError, near_miss
from promptflow_lite.flow.check import check
from promptflow_lite.flow.parse import flow_of
from promptflow_lite.flow.source import Document, read_yaml
from promptflow_lite.flow.spec import Flow

__all__ = ["find_flow", "load_flow"]

_DAG = ("flow.dag.yaml", "flow.dag.yml")
_FLEX = ("flow.flex.yaml", "flow.flex.yml")


def load_flow(source: str | Path) -> Flow:
    """The flow at `source`, read and not yet checked: `flow.check` does that.

    A file whose keys are wrong is checked at once, as far as it can be read, so that one pass
    says everything.

    Args:
        source: a folder that holds `flow.dag.yaml` (or `.yml`), or a YAML file of any name.

    Raises:
        UserError: no flow is there, or it is of a kind that this version does not run.
        FlowError: the keys of the file are wrong; holds the complaints of `flow.check` too, in the order of
            the file's lines.
    """
    path = find_flow(source)
    document = read_yaml(path)
    _refuse_other_documents(document, path)
    folder = path.parent.absolute()
    flow, found = flow_of(document, folder, folder.name if path.name in _DAG else path.stem)
    if found:
        raise FlowError(sorted([*found, *_further(flow, document, found)], key=attrgetter("place")))
    return flow


def _further(flow: Flow, document: Document, found: Sequence[Diagnostic]) -> list[Diagnostic]:
    """What the checks say of a flow that could not be read whole; silent where that would be guessing."""
    listed = document.data.get("nodes") if isinstance(document.data, dict) else None
    if not isinstance(listed, list) or len(listed) != len(flow.nodes):
        return []  # a node was dropped: places would shift, and references to it would seem wrong
    marks = {complaint.mark for complaint in found}
    return [c for c in check(flow) if c.severity == "error" and c.mark not in marks]


def find_flow(source: str | Path) -> Path:
    """The flow file that `source` means.

    Raises:
        UserError: there is none, more than one, or one that this version does not run.
    """
    path = Path(source)
    if path.is_dir():
        return _in_folder(path)
    if path.suffix == ".prompty":
        raise _not_supported(f"{path}: .prompty files")
    if path.name in _FLEX:
        raise _not_supported(f"{path}: flex flows")
    if not path.exists():
        if ":" in path.name and path.suffix not in (".yaml", ".yml"):
            raise _not_supported(f"{str(source)!r}: flows given as module:callable")
        raise _nothing_at(path)
    return path


def _in_folder(folder: Path) -> Path:
    dag = [folder / name for name in _DAG if (folder / name).exists()]
    flex = [folder / name for name in _FLEX if (folder / name).exists()]
    if len(dag) + len(flex) > 1:
        names = ", ".join(path.name for path in dag + flex)
        raise UserError(
            f"{folder} holds more than one flow: {names}", code="ambiguous-flow", hint="name the file"
        )
    if flex:
        raise _not_supported(f"{flex[0]}: flex flows")
    if dag:
        return dag[0]
    if any(folder.glob("*.prompty")):
        raise _not_supported(f"{folder}: .prompty files")
    others = [path.name for path in sorted(folder.glob("*.y*ml"))]
    hint = (
        f"name the file if the flow is one of: {', '.join(others)}" if others else "'pf flow init' writes one"
    )
    raise UserError(f"there is no flow.dag.yaml in {str(folder)!r}", code="flow-not-found", hint=hint)


def _refuse_other_documents(document: Document, path: Path) -> None:
    if document.data is None:
        raise FlowError(
            [Diagnostic("empty-file", "the file is empty; a flow needs nodes", Mark(document.file, 1, 1))]
        )
    if isinstance(document.data, dict) and "entry" in document.data and "nodes" not in document.data:
        raise _not_supported(f"{path}: flex flows (key 'entry')")


def _not_supported(what: str) -> UserError:
    return UserError(
        f"{what} are not supported by this version", code="not-supported", hint="flow.dag.yaml flows are"
    )


def _nothing_at(path: Path) -> UserError:
    siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    return UserError(
        f"there is nothing at {str(path)!r}", code="flow-not-found", hint=near_miss(path.name, siblings)
    )
