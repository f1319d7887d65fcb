"""What does a person see in a browser? The chat page at `/`, its files, and `/docs`."""

from promptflow_lite.serving.page.docs import Docs
from promptflow_lite.serving.page.files import Files, Index, paths

__all__ = ["Docs", "Files", "Index", "paths"]
