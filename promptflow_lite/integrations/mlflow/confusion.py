"""Which labels were taken for which? The confusion matrices among a run's metrics, as tables and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["draw", "matrices", "table"]

Matrix = Mapping[str, Mapping[str, int]]
"""True label to predicted label to how many lines; zeros may be left out."""

_MOST = 60
"""Labels that a picture can show; the table has them all."""
_MARKED = 25
"""Labels up to which each cell says its number."""


def matrices(metrics: Mapping[str, Any]) -> dict[str, Matrix]:
    """The confusion matrices among metrics, by name."""
    return {name: value for name, value in metrics.items() if _is_matrix(value)}


def _is_matrix(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(
            isinstance(row, Mapping) and all(type(count) is int for count in row.values())
            for row in value.values()
        )
        and any(value.values())
    )


def _labels_of(matrix: Matrix) -> tuple[list[str], list[str]]:
    """The true labels, and the predicted ones: those that are true first, in their order."""
    predicted = dict.fromkeys(name for row in matrix.values() for name in row)
    return list(matrix), [*matrix, *(name for name in predicted if name not in matrix)]


def table(matrix: Matrix) -> dict[str, list[Any]]:
    """A row a true label, a column a predicted one, as MLflow keeps tables (pandas' `split`)."""
    true, predicted = _labels_of(matrix)
    rows = [[name, *(matrix[name].get(other, 0) for other in predicted)] for name in true]
    return {"columns": ["true", *predicted], "data": rows}


def draw(matrix: Matrix, path: Path, *, title: str) -> bool:
    """Draw it as an SVG whose labels are text, so that any script shows; whether there was room."""
    true, predicted = _labels_of(matrix)
    if max(len(true), len(predicted)) > _MOST:
        return False
    # Heavy, and brought by MLflow; not pyplot, which would choose a backend for the process.
    import matplotlib as mpl
    from matplotlib.figure import Figure

    counts = [[matrix[name].get(other, 0) for other in predicted] for name in true]
    with mpl.rc_context({"svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(2.5 + 0.42 * len(predicted), 2 + 0.36 * len(true)), layout="constrained")
        axes = figure.add_subplot()
        axes.imshow(counts, cmap="Blues", aspect="auto")
        axes.set_xticks(range(len(predicted)), predicted, rotation=45, ha="right")
        axes.set_yticks(range(len(true)), true)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        axes.set_title(title)
        if max(len(true), len(predicted)) <= _MARKED:
            _mark(axes, counts)
        figure.savefig(path, format="svg", metadata={"Date": None})
    return True


def _mark(axes: Any, counts: list[list[int]]) -> None:
    most = max(max(row) for row in counts) or 1
    for y, row in enumerate(counts):
        for x, count in enumerate(row):
            if count:
                shade = "white" if count > most / 2 else "black"
                axes.text(x, y, str(count), ha="center", va="center", color=shade)
