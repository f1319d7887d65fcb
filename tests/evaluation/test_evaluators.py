"""Evaluators by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptflow_lite.errors import PluginNotFound
from promptflow_lite.evaluation import evaluators


def test_the_shipped_evaluators_are_found_by_name(root: Path) -> None:
    for name in ("classification", "groundedness", "qa_text"):
        assert evaluators.find(f"evaluator:{name}") == evaluators.find(name)
        assert (evaluators.find(name) / "flow.dag.yaml").is_file()
        assert name in evaluators.names()


def test_an_unknown_name_lists_those_that_exist() -> None:
    with pytest.raises(PluginNotFound) as caught:
        evaluators.find("evaluator:clasification")
    assert {"classification", "groundedness", "qa_text"} <= set(caught.value.known)
