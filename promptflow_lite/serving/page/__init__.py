"""What does a person see at `/`? What is served, and how to call it."""

from promptflow_lite.serving.page.overview import Docs, Overview

__all__ = ["Docs", "Overview"]
