"""What a run took, beside numpy's figures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptflow_lite.evaluation.metrics.usage import PERCENTILES, percentiles, used


@given(
    st.lists(st.floats(0, 1e6), min_size=1, max_size=50),
    st.lists(st.floats(0, 100), min_size=1, max_size=5),
)
def test_percentiles_are_numpys(values: list[float], which: list[float]) -> None:
    assert percentiles(values, which) == pytest.approx(np.percentile(values, which), rel=1e-12, abs=1e-12)


def test_nothing_is_changed_and_nothing_has_no_percentile() -> None:
    values = [3.0, 1.0, 2.0]
    assert percentiles(values, [100]) == [3.0]
    assert values == [3.0, 1.0, 2.0]
    with pytest.raises(ValueError, match="no values"):
        percentiles([])


def test_what_is_not_known_is_left_out() -> None:
    assert used([], [], [], 0) == {}
    assert used([1.0], [0], [None], 3) == {
        **dict.fromkeys((f"seconds_p{one}" for one in PERCENTILES), 1.0),
        "failure_rate": 0.75,
    }
    assert used([], [10, 20], [None, 0.5], 2) == {"total_tokens": 15.0, "cost": 0.5, "failure_rate": 1.0}
