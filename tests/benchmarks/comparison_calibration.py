"""How often is the comparison of two runs wrong? Simulated runs whose true difference is known.

    python -m tests.benchmarks.comparison_calibration

Prints Markdown: how often "better" is said where nothing differs (alone, and of the best of six variants),
how often "no worse" is said of a variant that loses the margin, how often the intervals hold the true value,
and how often a true gain is found.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from promptflow_lite.evaluation.compare import Key, Scores, Verdict, compare, estimate

COUNTS = (50, 200, 1000)
MARGIN = 0.05

Draw = Callable[[np.random.Generator, int, float, int], np.ndarray]


def yes_no(generator: np.random.Generator, count: int, change: float, runs: int) -> np.ndarray:
    """Answers right or wrong: a baseline at 0.7, `runs` others at 0.7 + change, hard items hard for all."""
    difficulty = generator.uniform(size=(count, 1))
    noise = generator.uniform(size=(count, runs + 1))
    # Half of what decides is the item's: right answers of two runs go together.
    position = 0.5 * difficulty + 0.5 * noise
    rates = np.array([0.7] + [0.7 + change] * runs)
    return (position < _threshold(rates)).astype(float)


def graded(generator: np.random.Generator, count: int, change: float, runs: int) -> np.ndarray:
    """Scores that pile up at both ends, as token F1 does; those of the others are `change` higher."""
    base = generator.beta(0.8, 0.5, size=(count, 1))
    own = generator.beta(0.8, 0.5, size=(count, runs + 1))
    keeps = generator.uniform(size=(count, runs + 1)) < 0.6
    drawn = np.where(keeps, base, own)
    drawn[:, 1:] += change
    return drawn


def _threshold(rates: np.ndarray) -> np.ndarray:
    """The quantiles of the mean of two uniform numbers (a triangle)."""
    return np.where(rates < 0.5, np.sqrt(rates / 2), 1 - np.sqrt((1 - rates) / 2))


def scores(values: np.ndarray) -> Scores:
    """By line number."""
    return {Key(i): float(value) for i, value in enumerate(values)}


def verdicts(draw: Draw, count: int, change: float, runs: int, rounds: int, seed: int) -> dict[str, float]:
    """The share of rounds in which any variant got each verdict, and the first one's interval held."""
    generator = np.random.default_rng(seed)
    seen: dict[str, float] = dict.fromkeys([*(verdict.value for verdict in Verdict), "covered"], 0)
    for _ in range(rounds):
        values = draw(generator, count, change, runs)
        found = compare(
            "simulated",
            ("baseline", scores(values[:, 0])),
            {f"v{i}": scores(values[:, i]) for i in range(1, runs + 1)},
            margin=MARGIN,
        )
        for verdict in {one.verdict for one in found}:
            seen[verdict.value] += 1 / rounds
        seen["covered"] += (found[0].difference.low <= change <= found[0].difference.high) / rounds
    return seen


def coverage(draw: Draw, count: int, rounds: int, seed: int) -> float:
    """How often the interval of one run's mean holds the true mean."""
    generator = np.random.default_rng(seed)
    truth = 0.7 if draw is yes_no else 0.8 / 1.3
    held = 0
    for _ in range(rounds):
        found = estimate(scores(draw(generator, count, 0.0, 0)[:, 0]))
        held += found.low <= truth <= found.high
    return held / rounds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2000, help="simulated comparisons a cell")
    rounds = parser.parse_args().rounds
    print(f"{rounds} rounds a cell; margin {MARGIN}\n")
    print(
        "| metric | lines | better, no difference | any of six better, no difference "
        "| no worse, true loss = margin | better, true gain 0.1 | difference covered | mean covered |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    for name, draw in (("yes/no", yes_no), ("graded", graded)):
        for count in COUNTS:
            same = verdicts(draw, count, 0.0, 1, rounds, 1)
            six = verdicts(draw, count, 0.0, 6, max(rounds // 4, 1), 2)
            loss = verdicts(draw, count, -MARGIN, 1, rounds, 3)
            gain = verdicts(draw, count, 0.1, 1, rounds, 4)
            cells = (
                same["better"],
                six["better"],
                loss["no worse"] + loss["better"],
                gain["better"],
                (same["covered"] + loss["covered"] + gain["covered"]) / 3,
                coverage(draw, count, rounds, 5),
            )
            print(
                f"| {name} | {count} | " + " | ".join(f"{100 * cell:.1f} %" for cell in cells) + " |",
                flush=True,
            )


if __name__ == "__main__":
    main()
