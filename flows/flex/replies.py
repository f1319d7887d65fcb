"""Replies to reviews: one prompt, and rules that a reply must keep."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from promptflow_lite import AsyncPrompty

PROMPT = Path(__file__).parent / "reply.prompty"


@dataclass
class Reply:
    """A reply, and whether it keeps the rules."""

    reply: str
    words: int
    is_short: bool
    promises: bool
    """Whether it speaks of money, which only a person may promise."""


class Replies:
    """Answers reviews.

    Args:
        shop: signs the reply.
        longest: words that a reply may have.
    """

    def __init__(self, shop: str = "The Lamp House", longest: int = 60) -> None:
        self.shop = shop
        self.longest = longest
        self.ask = AsyncPrompty.load(PROMPT)

    async def __call__(self, review: str) -> Reply:
        """The reply to one review."""
        text = await self.ask(review=review, shop=self.shop, longest=self.longest)
        words = len(text.split())
        money = any(word in text.lower() for word in ("refund", "free", "discount", "voucher"))
        return Reply(text.strip(), words, words <= self.longest, money)

    def __aggregate__(self, line_results: list) -> dict:
        """How long the replies are, and how many keep the rules."""
        count = len(line_results) or 1
        return {
            "mean_words": sum(r.words for r in line_results) / count,
            "short": sum(r.is_short for r in line_results) / count,
            "promises": sum(r.promises for r in line_results),
        }
