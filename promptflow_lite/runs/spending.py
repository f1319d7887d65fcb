"""What has a run spent? Tokens and US dollars of each node and line, and whether that is enough."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from promptflow_lite.engine.results import Failure, LineResult, NodeRun
from promptflow_lite.runs.prices import Price, Prices
from promptflow_lite.runs.run import Run
from promptflow_lite.tools.scope import Usage

__all__ = ["BUDGET", "Account", "spent_up"]

BUDGET = "budget"
"""The code of a run that has spent what it may."""


class Account:
    """Puts a cost to what models counted.

    Args:
        prices: what models cost.
        say: is told, once a model, that no price is known.
    """

    def __init__(self, prices: Prices, say: Callable[[str], object]) -> None:
        self._prices = prices
        self._say = say
        self._unpriced: set[str] = set()
        self.sources: set[str] = set()
        """Where the prices come from."""
        self.spent = Usage()
        """By all lines, those too that are not safe on the disk yet."""

    def charge(self, result: LineResult) -> LineResult:
        """Write the costs into a line and its nodes, and give it back."""
        if result.usage.calls or result.usage.prompt_tokens:
            cost = self.charge_nodes(result.node_runs)
            if cost is not None:
                result.usage.cost = cost
            self.spent.add(result.usage)
        return result

    def charge_nodes(self, runs: Mapping[str, NodeRun]) -> float | None:
        """Write the costs into nodes; what they cost together, `None` where no price is known."""
        total: float | None = None
        for run in runs.values():
            usage = run.usage
            if usage is None or not (usage.prompt_tokens or usage.completion_tokens):
                continue
            price = self._price(run.model or "", run.endpoint)
            if price is not None:
                usage.cost = price.of(usage)
                total = usage.cost + (total or 0.0)
        return total

    def _price(self, model: str, endpoint: str | None) -> Price | None:
        price = self._prices.find(model, endpoint)
        if price is not None:
            self.sources.add(price.source)
        elif model not in self._unpriced:
            self._unpriced.add(model)
            self._say(
                f"no price is known for the model {model!r}: its tokens are counted, its cost is not; "
                "put one into prices.yaml in PF_HOME, or into the file of PF_PRICES"
            )
        return price


def spent_up(run: Run, usage: Usage) -> Failure | None:
    """Why the run shall take no more lines; `None` where it may.

    Args:
        run: with its `max_cost` and `max_tokens`.
        usage: what its lines have taken until now.
    """
    found: list[tuple[str, str, Any]] = []
    if run.max_cost is not None and (usage.cost or 0.0) >= run.max_cost:
        found.append((f"${usage.cost or 0.0:.4g}", f"${run.max_cost:g}", f"--max-cost {2 * run.max_cost:g}"))
    if run.max_tokens is not None and usage.total_tokens >= run.max_tokens:
        found.append(
            (f"{usage.total_tokens:,} tokens", f"{run.max_tokens:,}", f"--max-tokens {2 * run.max_tokens}")
        )
    if not found:
        return None
    spent, allowed, _ = found[0]
    more = " ".join(option for _, _, option in found)
    return Failure(
        BUDGET,
        f"{spent} are spent of the {allowed} that were allowed; go on with  pf run resume {run.name} {more}",
    )
