"""What tests of the command line share."""

from __future__ import annotations

import pytest

from tests.conftest import MODELS


@pytest.fixture
def small_model() -> str:
    """The name of the smallest model; the test skips where its weights are not in the cache."""
    if not any(MODELS.glob("smollm2-135m*.gguf")):
        pytest.skip("the weights of smollm2-135m are not here; pf model pull smollm2-135m")
    return "smollm2-135m"
