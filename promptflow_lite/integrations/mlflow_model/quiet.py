"""How is MLflow kept from talking while it works for us? No warnings of its insides, no bars, no hints."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["quiet"]


@contextmanager
def quiet() -> Iterator[None]:
    """MLflow says nothing."""
    from mlflow.environment_variables import MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR

    bar = MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR.name
    logger = logging.getLogger("mlflow")
    level, before = logger.level, os.environ.get(bar)
    logger.setLevel(logging.ERROR)
    os.environ[bar] = "false"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
        del os.environ[bar]
        if before is not None:
            os.environ[bar] = before
