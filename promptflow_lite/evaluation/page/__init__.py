"""What does a person see of runs in a browser? One HTML file, made of plain data and our own script."""

from promptflow_lite.evaluation.page.data import LINES, Shown, collect
from promptflow_lite.evaluation.page.document import document

__all__ = ["LINES", "Shown", "collect", "document"]
