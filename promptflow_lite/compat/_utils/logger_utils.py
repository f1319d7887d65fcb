"""`promptflow._utils.logger_utils`: loggers that write to the terminal."""

from __future__ import annotations

import logging
import sys

from promptflow_lite.compat._missing import names_of

__all__ = ["LoggerFactory", "flow_logger", "get_cli_sdk_logger", "get_logger", "logger"]

_FORMAT = "%(asctime)s %(name)-18s %(levelname)-8s %(message)s"


def get_logger(name: str) -> logging.Logger:
    """A logger of that name that writes to stderr, from INFO on."""
    found = logging.getLogger(name)
    if not found.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter(_FORMAT))
        found.addHandler(handler)
        found.setLevel(logging.INFO)
        found.propagate = False
    return found


def get_cli_sdk_logger() -> logging.Logger:
    """The logger of the client and the commands."""
    return get_logger("promptflow._sdk")


class LoggerFactory:
    """Makes loggers."""

    @staticmethod
    def get_logger(name: str, verbosity: int = logging.INFO, target_stdout: bool = False) -> logging.Logger:
        """A logger of that name, at that level; `target_stdout` is taken and has no effect."""
        found = get_logger(name)
        found.setLevel(verbosity)
        return found


logger = logging.getLogger("promptflow_lite")
flow_logger = logging.getLogger("promptflow_lite.flow")

__getattr__ = names_of("promptflow._utils.logger_utils")
