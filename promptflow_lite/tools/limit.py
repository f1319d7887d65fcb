"""How fast may one model be asked? A rate learned from what it admits and refuses; plain numbers, no clock.

At first nothing holds calls back. From the first refusal on they leave at a rate: it doubles, as a rule every
second, until the second refusal, and then follows CUBIC's curve (`tools.curve`): cut to between what was
admitted and what was refused, held near that, raised ever faster the longer nobody is refused. One call in
fifty may be refused without a cut: where calls come together by chance, the rate is not why. Where an
endpoint stays shut, its rate is that of a window (`tools.window`). All state is a row of floats, so that the
worker processes of a run can share it (`tools.board`).
"""

from __future__ import annotations

from collections.abc import MutableSequence
from contextlib import AbstractContextManager, nullcontext

from promptflow_lite.tools import allowance, curve, recent, window

__all__ = ["FIELDS", "Limit"]

_NEXT, _OPEN, _RATE, _TOP, _SINCE, _SPAN, _CUTS, _STREAK, _BEGAN = range(9)
_CREDIT, _ALONE, _DOUBLING, _AFRESH, _RING = range(9, 14)
_WINDOW = _RING + recent.FIELDS
_TOKENS = _WINDOW + window.FIELDS
FIELDS = _TOKENS + allowance.FIELDS
"""How many floats the state is."""

_ROUNDED = (1.0, 2.0)
"""Pauses that may be much shorter in truth: `Retry-After` has no fractions, and whoever has to wait for a
twentieth of a second is told "1"."""
_ROUNDED_S = 1.0
_ROUNDED_UP_S = 0.5
"""By how much a pause in whole seconds is too long, as a rule."""
_LONE_S = 0.4
"""What a refusal with such a pause counts as, of a pause, ..."""
_LONE_SPAN_S = 0.1
"""... and how dear it is to come upon the limit with it."""
_AGAIN_S = 6.0
"""How soon after a refusal with such a pause a second one is no chance."""
_WINDOW_SPAN_S = 30.0
"""After how long a higher rate is tried out where a window that says nothing is full."""
_FORGIVEN = 0.02
"""What share of the calls may be refused without a cut, ..."""
_CREDIT_S = 10.0
"""... counted over so many seconds."""
_LONGEST_EARNING_S = 12.0
_CATCH_UP_S = 0.05
"""How late a call may leave without its place being lost: timers are late by a millisecond or more. Where
calls are further apart than that nothing is caught up: two that are too near are one that is refused."""
_LONGEST_RESET_S = 60.0


class Limit:
    """What is known of a model's rate limit. Times are seconds on one monotonic clock.

    Args:
        state: `FIELDS` floats, all 0 at first.
        lock: held while they change; processes that share them need one.
        requests_per_minute: never ask more; `None`: as much as is admitted.
        tokens_per_minute: the same for tokens, prompt and completion together.
        tokens_a_call: what a call is taken to need until one has told.
    """

    def __init__(
        self,
        state: MutableSequence[float] | None = None,
        lock: AbstractContextManager[object] | None = None,
        *,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        tokens_a_call: float = 0.0,
    ) -> None:
        self._state: MutableSequence[float] = [0.0] * FIELDS if state is None else state
        self._window = window.Window(self._state, _WINDOW)
        self._tokens = allowance.Allowance(
            self._state, _TOKENS, (tokens_per_minute or 0.0) / 60, tokens_a_call
        )
        self._lock = lock or nullcontext()
        self._most = (requests_per_minute or 0.0) / 60

    def rate(self, now: float) -> float:
        """Calls a second; 0 for any number."""
        state = self._state
        if not state[_RATE]:
            return self._most
        passed = max(0.0, now - state[_SINCE])
        if state[_CUTS] < 2:
            grown = state[_RATE] * 2 ** min(passed / state[_DOUBLING], 60.0)
        else:
            grown = curve.grown(state[_RATE], state[_TOP], passed, state[_SPAN])
        return min(grown, self._most) if self._most else grown

    def closed_until(self) -> float:
        """When the endpoint wants to be asked again."""
        return self._state[_OPEN]

    def take(self, now: float) -> float:
        """0 if a call may leave now, which is counted; otherwise the seconds until it is worth asking."""
        with self._lock:
            state = self._state
            wait_s = max(state[_OPEN] - now, self._tokens.wait_s(now))
            if wait_s <= 0:
                wait_s = self._place(now)
            if wait_s > 0:
                return wait_s
            if not state[_BEGAN] or state[_AFRESH]:
                self._begin(now)
            recent.add(state, _RING, now, 1.0)
            self._window.left(now)
            self._tokens.take()
            return 0.0

    def _place(self, now: float) -> float:
        """0 where the rate lets a call go now, whose place is taken; otherwise in how many seconds."""
        state = self._state
        is_shut = self._window.is_shut
        if is_shut and state[_NEXT] > now:
            return state[_NEXT] - now
        if is_shut and (let_in_at := self._window.asked(now)):
            self._opened(let_in_at)
            is_shut = False
        if is_shut:
            state[_NEXT] = now + self._window.pause_s
        elif rate := self.rate(now):
            at = max(state[_NEXT], now - _CATCH_UP_S if rate * _CATCH_UP_S > 1 else now)
            if at > now:
                return at - now
            state[_NEXT] = at + 1 / rate
        return 0.0

    def admitted(self, sent_at: float) -> bool:
        """A call that left at `sent_at` was let in; whether others need not wait for that any more."""
        state = self._state
        is_opened = False
        if state[_STREAK] and self._window.is_proof(sent_at):
            is_opened = self._window.is_shut
            with self._lock:
                self._opened(sent_at)
        if state[_CUTS] >= 2:
            most = max(1.0, _FORGIVEN * _CREDIT_S * state[_RATE])
            state[_CREDIT] = min(most, state[_CREDIT] + _FORGIVEN)
        return is_opened

    def spent(self, tokens: float) -> None:
        """A call took so many tokens, prompt and completion together."""
        with self._lock:
            self._tokens.spent(tokens)

    def refused(self, now: float, sent_at: float, wait_s: float | None, spread_s: float = 0.0) -> float:
        """A call was turned away because there were too many; how many seconds it has to wait by itself.

        What the endpoint asks for holds for all calls, and the refused one need not wait by itself. One or
        two whole seconds may be a fraction, rounded up: once the rate is known, the others wait for what is
        sure of it, and then go on. If more are refused meanwhile than chance explains, all wait it out.

        Args:
            now: when that was heard.
            sent_at: when it had left. One that left before the last cut teaches nothing new.
            wait_s: how long the endpoint asked to be left alone; `None`: it did not.
            spread_s: how much longer to wait, so that the processes of a machine do not come back at once.
        """
        with self._lock:
            state = self._state
            self._tokens.give_back()
            if sent_at >= state[_BEGAN]:
                recent.add(state, _RING, sent_at, -1.0)
            self._window.turned_away(sent_at)
            is_news = not state[_RATE] or sent_at >= state[_SINCE]
            if not is_news and state[_CUTS] == 1:  # the rest of the first burst, heard after the estimate
                state[_RATE] = min(state[_RATE], self._admitted(now, state[_OPEN] - now))
            is_alone = wait_s in _ROUNDED and state[_CUTS] >= 2
            is_dear = wait_s is not None and wait_s >= curve.DEAR_S and not is_alone
            if is_news and state[_CREDIT] >= 1 and not is_dear and not self._window.is_shut:
                self._forgive(now, sent_at)
                is_news = False
            if wait_s is None:
                if not is_news:
                    return 0.0
                if self._window.was_open(self.rate(now) * (now - sent_at)):
                    state[_STREAK] = 0.0
                wait_s = self._window.refused(now, sent_at, state[_STREAK])
                if wait_s:
                    state[_NEXT] = 0.0  # set by the pause before, which may have been longer
            elif is_alone and not (is_news and now < state[_ALONE]):
                if is_news:
                    self._cut(now, sent_at, _LONE_S)
                    state[_ALONE], state[_SINCE] = now + wait_s, now
                self._close(now + wait_s - _ROUNDED_S)
                return wait_s + spread_s
            self._close(now + wait_s + spread_s)
            if is_news:
                if not state[_STREAK]:  # refused again before any was admitted: wait, the rate is not why
                    self._cut(now, sent_at, wait_s)
                state[_STREAK] += 1
                state[_SINCE] = max(state[_SINCE], state[_OPEN])
            return 0.0

    def observed(
        self, now: float, *, remaining: float, limit: float | None, reset_s: float, need: float
    ) -> None:
        """What the headers of an answer say is left, of requests or of tokens, until `reset_s` from now.

        OpenAI's buckets fill all the time and are full at the reset. Where the limit is not said, the bucket
        is taken for one that fills at the reset.

        Args:
            now: when they came.
            remaining: what is left.
            limit: what there is at most.
            reset_s: when there is that much again.
            need: what the next call takes.
        """
        if remaining >= need or reset_s <= 0:
            return
        share = min(1.0, (need - remaining) / (limit - remaining)) if limit and limit > remaining else 1.0
        with self._lock:
            self._close(now + min(_LONGEST_RESET_S, reset_s * share))

    @property
    def tokens_a_call(self) -> float:
        """What a call is taken to need; 0 where nothing is known."""
        return self._tokens.a_call

    def _close(self, until: float) -> None:
        """Nobody leaves before."""
        state = self._state
        state[_OPEN] = max(state[_OPEN], until)
        state[_NEXT] = max(state[_NEXT], state[_OPEN])

    def _begin(self, now: float) -> None:
        """Count from here: what was admitted at first came out of a full bucket, and says little."""
        state = self._state
        state[_BEGAN], state[_AFRESH] = now, 0.0
        recent.clear(state, _RING)
        self._window.begin(now)

    def _admitted(self, now: float, pause_s: float, late: float = 0.0) -> float:
        """Calls a second that were let in during the last ten, a pause that begins now counted in.

        Args:
            now: when the pause begins.
            pause_s: how long it is.
            late: how many of the calls that have left will be refused as well.
        """
        count, since = recent.counted(self._state, _RING, now)
        span_s = max(now - max(self._state[_BEGAN] or now, since), 0.2)
        return max(count - late, 1.0) / (span_s + max(0.0, pause_s))

    def _opened(self, sent_at: float) -> None:
        """A call that left then was let in after others were not: go on, if at a window at its rate."""
        state = self._state
        state[_STREAK] = 0.0
        if self._window.is_shut:
            state[_NEXT] = 0.0
        found = self._window.opened(sent_at)
        if found is None:
            return
        if state[_CUTS] < 2:  # the first one may have been used by others: try out more
            state[_RATE], state[_DOUBLING] = found.rate, curve.doubling_s(found.seconds)
        else:
            self._go_on(sent_at, found.rate, found.rate)
            state[_SPAN] = _WINDOW_SPAN_S
        state[_SINCE] = sent_at

    def _forgive(self, now: float, sent_at: float) -> None:
        """Take a refusal for chance; where the rate was being tried out, go back to what had been held."""
        state = self._state
        state[_CREDIT] -= 1
        refused = self.rate(sent_at)
        if refused <= state[_TOP]:
            return
        below = curve.BELOW * refused
        top = max(state[_TOP], 0.5 * (below + min(below, self._admitted(now, 0.0))))
        self._go_on(now, top, top)
        state[_SINCE] = now
        state[_SPAN] = max(state[_SPAN], self._credit_s())

    def _cut(self, now: float, sent_at: float, pause_s: float) -> None:
        """Go on between what the endpoint admitted lately, its pauses included, and what it refused."""
        state = self._state
        if state[_RATE]:
            refused = self.rate(sent_at)
            top = curve.BELOW * refused
            if refused <= state[_TOP] and pause_s == _LONE_S and now - state[_SINCE] < _AGAIN_S:
                top *= curve.BELOW  # the second one shortly after a first: it is not chance
            is_window = pause_s >= curve.WINDOW_S
            admitted = (
                self._of_window(now, sent_at, pause_s, refused) if is_window else self._admitted(now, pause_s)
            )
            self._go_on(now, *curve.landing(admitted, refused, pause_s, top=top, before=state[_TOP]))
        else:
            state[_RATE] = self._admitted(now, pause_s)
            state[_AFRESH] = float(pause_s >= curve.DEAR_S)
            state[_DOUBLING] = curve.doubling_s(pause_s)
        state[_CUTS] += 1
        dear_s = _LONE_SPAN_S if pause_s in (*_ROUNDED, _LONE_S) else pause_s
        span_s = curve.span_s(dear_s, state[_CUTS], self._credit_s())
        state[_SPAN] = _WINDOW_SPAN_S if self._window.is_known else span_s

    def _of_window(self, now: float, sent_at: float, pause_s: float, refused: float) -> float:
        """Calls a second that a window let in which opens again after the pause; count anew from there."""
        if pause_s % 1 == 0:
            pause_s -= _ROUNDED_UP_S
        # What left after the refused call will be refused as well: at its rate, or as many as there are.
        late = min(refused, 2 * self._window.rate(now)) * (now - sent_at)
        rate = max(self._admitted(now, pause_s, late), self._window.rate(now + pause_s, late))
        self._window.begin(now + pause_s)
        return rate

    def _go_on(self, now: float, rate: float, top: float) -> None:
        """At another rate; the next call, whose time was set by the old one, is put off with it."""
        state, was = self._state, self.rate(now)
        state[_RATE], state[_TOP] = rate, top
        if state[_NEXT] > now:
            state[_NEXT] += max(0.0, 1 / rate - 1 / was)

    def _credit_s(self) -> float:
        """How long it takes until the refusal is earned that trying a higher rate ends with."""
        rate = max(self._state[_RATE], self._state[_TOP])
        return min(_LONGEST_EARNING_S, max(0.0, 1 - self._state[_CREDIT]) / (_FORGIVEN * rate))
