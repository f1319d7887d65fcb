"""What does a model cost? The user's prices, and under them the table of the package genai-prices.

The table is Pydantic's, kept by hand and script from the providers' pages and released every few days; its
version is said wherever a cost is. It is asked once a model, for the models of the provider at the endpoint's
address; at an address that nobody knows only for models that OpenAI and Azure alone serve. To load it costs
0.15 s of CPU, so what was found is noted for the day.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import astuple, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from promptflow_lite.errors import Diagnostic, FlowError, near_miss
from promptflow_lite.flow.source import read_yaml
from promptflow_lite.settings import Settings
from promptflow_lite.tools.scope import Usage

__all__ = ["Price", "Prices"]

_KEYS = ("input", "output", "cached_input")
_A_MILLION = 1_000_000
_PROBE = 1_000
"""Tokens that the table is asked for: prices that rise with the length of a prompt rise far beyond."""
_SELF_HOSTED = "local"


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens."""

    input: float
    output: float
    cached_input: float
    """Of a prompt's part that the provider had kept."""
    source: str
    """Where that was found."""

    def of(self, usage: Usage) -> float:
        """What these tokens cost."""
        fresh = usage.prompt_tokens - usage.cached_tokens
        spent = (
            fresh * self.input
            + usage.cached_tokens * self.cached_input
            + usage.completion_tokens * self.output
        )
        return spent / _A_MILLION


class Prices:
    """Prices by model.

    Args:
        given: the user's, which go over the table's.
        notes: a file that keeps for the day what was found in the table; `None` keeps nothing.
    """

    def __init__(self, given: Mapping[str, Price] | None = None, notes: Path | None = None) -> None:
        self._given = dict(given or {})
        self._notes = notes
        self._found: dict[tuple[str, str | None], Price | None] = {}

    @classmethod
    def of(cls, settings: Settings) -> Prices:
        """The prices of this home: those of `PF_PRICES`, or of `prices.yaml` in it, over the table's.

        Raises:
            FlowError: what is wrong with that file.
        """
        path = settings.prices or settings.home / "prices.yaml"
        given = _read(path) if settings.prices is not None or path.exists() else {}
        return cls(given, settings.cache / "prices.json")

    def find(self, model: str, endpoint: str | None) -> Price | None:
        """The price of a model; `None` where none is known.

        Args:
            model: its name, as the endpoint gave it.
            endpoint: the address that was asked; `local` for the embedded model.
        """
        key = (model, endpoint)
        if key not in self._found:
            self._found[key] = self._of_the_user(model) or self._of_the_table(model, endpoint)
        return self._found[key]

    def _of_the_table(self, model: str, endpoint: str | None) -> Price | None:
        if endpoint == _SELF_HOSTED:
            return Price(0.0, 0.0, 0.0, "the embedded model")
        if self._notes is None:
            return _of_the_table(model, endpoint)
        from importlib.metadata import version  # noqa: PLC0415  # heavy: first use

        title = f"genai-prices {version('genai-prices')}, {datetime.now().astimezone():%Y-%m-%d}"
        noted = _noted(self._notes, title)
        name = f"{model} at {endpoint}"
        if name not in noted:
            price = _of_the_table(model, endpoint)
            noted[name] = None if price is None else list(astuple(price))
            _note(self._notes, title, noted)
        return None if noted[name] is None else Price(*noted[name])

    def _of_the_user(self, model: str) -> Price | None:
        """By its name, or by the name that a dated one begins with (`gpt-4o` for `gpt-4o-2024-08-06`)."""
        if model in self._given:
            return self._given[model]
        begun = [
            name for name in self._given if model.startswith(f"{name}-") and model[len(name) + 1].isdigit()
        ]
        return self._given[max(begun, key=len)] if begun else None


def _noted(path: Path, title: str) -> dict[str, Any]:
    """What was noted under `title`; nothing, where that was another day or another table."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return dict(kept["prices"]) if kept["of"] == title else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _note(path: Path, title: str, noted: Mapping[str, Any]) -> None:
    with suppress(OSError):  # the next run looks it up again
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(json.dumps({"of": title, "prices": noted}), encoding="utf-8")
        temporary.replace(path)


def _of_the_table(model: str, endpoint: str | None) -> Price | None:
    from importlib.metadata import version  # noqa: PLC0415  # heavy: first use

    from genai_prices import Usage as Used  # noqa: PLC0415  # heavy: 0.15 s of CPU
    from genai_prices import calc_price  # noqa: PLC0415

    for place in ({"provider_api_url": endpoint}, {"provider_id": "openai"}, {"provider_id": "azure"}):
        try:
            whole = calc_price(Used(input_tokens=_PROBE, output_tokens=_PROBE), model, **place)
            kept = calc_price(Used(input_tokens=_PROBE, cache_read_tokens=_PROBE), model, **place)
        except (LookupError, ValueError):
            continue
        a_token = _A_MILLION / _PROBE
        return Price(
            float(whole.input_price) * a_token,
            float(whole.output_price) * a_token,
            float(kept.total_price) * a_token,
            f"genai-prices {version('genai-prices')}",
        )
    return None


def _read(path: Path) -> dict[str, Price]:
    document = read_yaml(path)
    data = document.data or {}
    complaints: list[Diagnostic] = []
    if not isinstance(data, dict):
        raise FlowError([Diagnostic("bad-prices", "expected models and their prices", document.at())])
    prices: dict[str, Price] = {}
    for model, said in data.items():
        if not isinstance(said, dict):
            message = f"{model}: expected input and output, US dollars for a million tokens, got {said!r}"
            complaints.append(Diagnostic("bad-prices", message, document.at(model)))
            continue
        wrong = [_complaint(key, value) for key, value in said.items()]
        wrong += [(key, "is missing", None) for key in ("input", "output") if key not in said]
        found = [
            Diagnostic("bad-prices", f"{model}: {key} {what}", document.at(model), hint)
            for key, what, hint in filter(None, wrong)
        ]
        complaints += found
        if not found:
            price = {key: float(value) for key, value in said.items()}
            cached = price.get("cached_input", price["input"])
            prices[str(model)] = Price(price["input"], price["output"], cached, path.name)
    if complaints:
        raise FlowError(complaints)
    return prices


def _complaint(key: str, value: Any) -> tuple[str, str, str | None] | None:
    if key not in _KEYS:
        return key, "is no price", near_miss(str(key), _KEYS) or f"there are: {', '.join(_KEYS)}"
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        return key, f"expected US dollars for a million tokens, got {value!r}", None
    return None
