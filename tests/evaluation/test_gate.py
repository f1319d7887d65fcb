"""Rules about a difference: what its interval says, and not only whether it is there."""

from __future__ import annotations

import pytest

from promptflow_lite.evaluation.compare import Key, compare
from promptflow_lite.evaluation.gate import Gate, Outcome, Rule, check

LINES = [Key(number) for number in range(40)]


@pytest.mark.parametrize(
    ("loss", "margin", "outcome"),
    [(4.0, 100.0, Outcome.passed), (4.0, 3.0, Outcome.failed), (4.0, 4.0, Outcome.inconclusive)],
)
@pytest.mark.parametrize("lower_is_better", [False, True])
def test_a_sure_loss_passes_if_the_margin_holds_all_of_its_interval(
    loss: float, margin: float, outcome: Outcome, lower_is_better: bool
) -> None:
    sign = 1 if lower_is_better else -1
    baseline = {key: float(key.item) for key in LINES}  # type: ignore[arg-type]  # items are numbers here
    candidate = {
        key: value + sign * (loss + (n % 3 - 1) / 10) for n, (key, value) in enumerate(baseline.items())
    }
    [found] = compare(
        "score",
        ("before", baseline),
        {"after": candidate},
        margin=margin,
        lower_is_better=lower_is_better,
    )
    rule = Rule("score", "no_worse_by", margin)
    [result] = check(Gate((rule,)), "after", {}, {"score": found})
    assert found.verdict == "worse"
    assert result.outcome is outcome
