"""How is MLflow kept from talking while it works for us? No warnings of its insides, no bars, no hints."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["quiet"]

_BAR = "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"


@contextmanager
def quiet() -> Iterator[None]:
    """MLflow says nothing."""
    logger = logging.getLogger("mlflow")
    level, before = logger.level, os.environ.get(_BAR)
    logger.setLevel(logging.ERROR)
    os.environ[_BAR] = "false"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
        del os.environ[_BAR]
        if before is not None:
            os.environ[_BAR] = before
