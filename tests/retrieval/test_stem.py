"""What the stems of strangers' words cost."""

from __future__ import annotations

import gc
import tracemalloc

from promptflow_lite.retrieval.stem import stems


def test_words_of_strangers_do_not_stay_in_memory() -> None:
    tracemalloc.start()
    try:
        for number in range(50):
            assert len(stems([f"{number}{'é' * 100_000}"])) == 1
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1_000_000  # 5 MB and more if they did
