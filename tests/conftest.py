"""Every test gets a home of its own and no key of the machine's."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from promptflow_lite.settings import settings

ROOT = Path(__file__).resolve().parent.parent
MODELS = settings().models
"""The machine's cache of weights, read before a test's own home hides it."""

# How long an example takes, or to make one, says more about the machine than about the code: no deadlines.
hypothesis.settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("untimed")

_KEYS = ("OPENAI_", "AZURE_OPENAI_", "MLFLOW_", "PF_")


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A fresh `PF_HOME`; weights stay where the machine keeps them."""
    folder = tmp_path_factory.mktemp("home")
    for name in [name for name in os.environ if name.startswith(_KEYS)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PF_HOME", str(folder))
    monkeypatch.setenv("PF_MODELS", str(MODELS))
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    # Its stores keep no connections: the garbage collector would close them in the midst of a later test.
    monkeypatch.setenv("MLFLOW_SQLALCHEMYSTORE_POOLCLASS", "NullPool")
    settings.cache_clear()
    yield folder
    settings.cache_clear()
    if "mlflow" in sys.modules:
        sys.modules["mlflow"].set_tracking_uri(None)  # else the store of this test is that of all after it


@pytest.fixture
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture
def shared_data() -> Path:
    """The folder of public data sets; the test skips where it is absent (`SHARED_DATA` names another)."""
    folder = Path(os.environ.get("SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no data sets at {folder}")
    return folder
