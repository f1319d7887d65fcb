"""What do the files say? Markdown, plain text, HTML, PDF, DOCX, CSV and JSON Lines to texts."""

from promptflow_lite.retrieval.read.files import Found, find_files
from promptflow_lite.retrieval.read.kinds import SUFFIXES, read_file
from promptflow_lite.retrieval.read.text import SourceFile, Text

__all__ = ["SUFFIXES", "Found", "SourceFile", "Text", "find_files", "read_file"]
