"""How fast may one model be asked? A rate learned from what it admits and refuses; plain numbers, no clock.

At first nothing holds calls back. From the first refusal on they leave at a rate: it doubles, as a rule every
second, until the second refusal, and then follows CUBIC's curve (RFC 9438): cut to between what was admitted
and what was refused, held near that, raised ever faster the longer nobody is refused. One call in fifty may
be refused without a cut: where calls come together by chance, the rate is not why. All state is a row of
floats, so that the worker processes of a run can share it (`tools.board`).
"""

from __future__ import annotations

from collections.abc import MutableSequence
from contextlib import AbstractContextManager, nullcontext

from promptflow_lite.tools import recent

__all__ = ["FIELDS", "Limit"]

_NEXT, _OPEN, _RATE, _TOP, _SINCE, _SPAN, _CUTS, _STREAK, _BEGAN, _LEVEL, _LEVEL_AT, _EACH = range(12)
_CREDIT, _ALONE, _DOUBLING, _AFRESH, _RING = range(12, 17)
FIELDS = _RING + recent.FIELDS
"""How many floats the state is."""

_BELOW = 0.97
"""Where the rate levels out, of the one that was refused."""
_DEAR_S = 0.3
"""A pause from which on a refusal costs more than going a little too slowly."""
_ALIKE = 0.1
"""How near two refused rates are that say the same."""
_MOSTLY = 0.8
_LOW = 0.4
"""Where a dear cut goes, between what was refused (0) and what was admitted (1)."""
_ROUNDED = (1.0, 2.0)
"""Pauses that may be much shorter in truth: `Retry-After` has no fractions, and whoever has to wait for a
twentieth of a second is told "1"."""
_ROUNDED_S = 1.0
_LONE_S = 0.4
"""What a refusal with such a pause counts as, of a pause, ..."""
_LONE_SPAN_S = 0.1
"""... and how dear it is to come upon the limit with it."""
_SHORT_S = 2.5
"""A pause from which on the rate that was admitted, the pause counted in, is the endpoint's: it is that of a
window, which says when the next one begins."""
_NEAR = 1.05
_FORGIVEN = 0.02
"""What share of the calls may be refused without a cut, ..."""
_CREDIT_S = 10.0
"""... counted over so many seconds."""
_LONGEST_EARNING_S = 12.0
_PROBING = 0.3
_SLOWEST_DOUBLING_S = 4.0
_SPAN_S = 6.0
_SPAN_PER_PAUSE = 30.0
"""How long it takes to come back to the rate before a cut: the dearer a refusal, the later the next one."""
_LONGEST_SPAN_S = 60.0
_EARLY = 3
"""Cuts from which little is known yet: the next rate is tried out twice as soon."""
_CATCH_UP_S = 0.05
"""How late a call may leave without its place being lost: timers are late by a millisecond or more. Where
calls are further apart than that nothing is caught up: two that are too near are one that is refused."""
_SLOWEST = 1 / 60
_PATIENT = 2
"""Refusals in a row without any admission, after which a pause is made that nobody asked for."""
_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 30.0
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
        self._state[_EACH] = self._state[_EACH] or tokens_a_call
        self._lock = lock or nullcontext()
        self._most = (requests_per_minute or 0.0) / 60
        self._tokens = (tokens_per_minute or 0.0) / 60

    def rate(self, now: float) -> float:
        """Calls a second; 0 for any number."""
        state = self._state
        if not state[_RATE]:
            return self._most
        passed = max(0.0, now - state[_SINCE])
        if state[_CUTS] < 2:
            grown = state[_RATE] * 2 ** min(passed / state[_DOUBLING], 60.0)
        else:
            beyond = passed / state[_SPAN] - 1
            grown = (
                state[_TOP]
                + (state[_TOP] * _PROBING if beyond > 0 else state[_TOP] - state[_RATE]) * beyond**3
            )
        return min(grown, self._most) if self._most else grown

    def closed_until(self) -> float:
        """When the endpoint wants to be asked again."""
        return self._state[_OPEN]

    def take(self, now: float) -> float:
        """0 if a call may leave now, which is counted; otherwise the seconds until it is worth asking."""
        with self._lock:
            state = self._state
            wait_s = max(state[_OPEN] - now, self._tokens_wait_s(now) if self._tokens else 0.0)
            if wait_s > 0:
                return wait_s
            rate = self.rate(now)
            if rate:
                at = max(state[_NEXT], now - _CATCH_UP_S if rate * _CATCH_UP_S > 1 else now)
                if at > now:
                    return at - now
                state[_NEXT] = at + 1 / rate
            if not state[_BEGAN] or state[_AFRESH]:
                self._begin(now)
            recent.add(state, _RING, now, 1.0)
            state[_LEVEL] -= state[_EACH]
            return 0.0

    def admitted(self) -> None:
        """A call was let in."""
        state = self._state
        if state[_STREAK]:
            state[_STREAK] = 0.0
        if state[_CUTS] >= 2:
            most = max(1.0, _FORGIVEN * _CREDIT_S * state[_RATE])
            state[_CREDIT] = min(most, state[_CREDIT] + _FORGIVEN)

    def spent(self, tokens: float) -> None:
        """A call took so many tokens, prompt and completion together."""
        with self._lock:
            state = self._state
            state[_LEVEL] -= tokens - state[_EACH]
            state[_EACH] += 0.2 * (tokens - state[_EACH]) if state[_EACH] else tokens

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
            state[_LEVEL] += state[_EACH]
            if sent_at >= state[_BEGAN]:
                recent.add(state, _RING, sent_at, -1.0)
            is_news = not state[_RATE] or sent_at >= state[_SINCE]
            if not is_news and state[_CUTS] == 1:  # the rest of the first burst, heard after the estimate
                state[_RATE] = min(state[_RATE], self._admitted(now, state[_OPEN] - now))
            is_alone = wait_s in _ROUNDED and state[_CUTS] >= 2
            is_dear = wait_s is not None and wait_s >= _DEAR_S and not is_alone
            if is_news and state[_CREDIT] >= 1 and not is_dear:
                self._forgive(now, sent_at)
                is_news = False
            if wait_s is None:
                if not is_news:
                    return 0.0
                beyond = state[_STREAK] - _PATIENT
                wait_s = min(_LONGEST_PAUSE_S, _PAUSE_S * 1.5 ** min(beyond, 20)) if beyond >= 0 else 0.0
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
        """What a call took lately; 0 where that is not counted."""
        return self._state[_EACH]

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

    def _admitted(self, now: float, pause_s: float) -> float:
        """Calls a second that were let in during the last ten, a pause that begins now counted in."""
        count, since = recent.counted(self._state, _RING, now)
        span_s = max(now - max(self._state[_BEGAN] or now, since), 0.2)
        return max(count, 1.0) / (span_s + max(0.0, pause_s))

    def _forgive(self, now: float, sent_at: float) -> None:
        """Take a refusal for chance; where the rate was being tried out, go back to what had been held."""
        state = self._state
        state[_CREDIT] -= 1
        refused = self.rate(sent_at)
        if refused <= state[_TOP]:
            return
        below = _BELOW * refused
        top = max(state[_TOP], 0.5 * (below + min(below, self._admitted(now, 0.0))))
        self._go_on(now, top, top)
        state[_SINCE] = now
        state[_SPAN] = max(state[_SPAN], self._credit_s())

    def _cut(self, now: float, sent_at: float, pause_s: float) -> None:
        """Go on between what the endpoint admitted lately, its pauses included, and what it refused.

        Where a refusal is dear, and one that refuses the same as the last time while nearly that much was
        admitted, the rate is known: just below.
        """
        state = self._state
        admitted = self._admitted(now, pause_s)
        if state[_RATE]:
            refused = self.rate(sent_at)
            top = _BELOW * refused
            if refused <= state[_TOP] and pause_s == _LONE_S and now - state[_SINCE] < _SPAN_S:
                top *= _BELOW  # the second one shortly after a first: it is not chance
            admitted = max(_SLOWEST, min(admitted, 0.98 * refused))
            if pause_s < _DEAR_S:
                near = 0.5 * (admitted + refused) if refused < 2 * admitted else (admitted * refused) ** 0.5
            elif pause_s >= _SHORT_S:
                near = top = min(top, _NEAR * admitted)
            elif abs(top - state[_TOP]) < _ALIKE * top and admitted > _MOSTLY * refused:
                near = top
            else:
                near = _LOW * admitted + (1 - _LOW) * refused
            self._go_on(now, min(near, top), top)
        else:
            state[_RATE] = admitted
            state[_AFRESH] = float(pause_s >= _DEAR_S)
            state[_DOUBLING] = min(_SLOWEST_DOUBLING_S, max(1.0, pause_s / 4))
        state[_CUTS] += 1
        dear_s = _LONE_SPAN_S if pause_s in (*_ROUNDED, _LONE_S) else pause_s
        span_s = _SPAN_S + _SPAN_PER_PAUSE * dear_s
        span_s = 0.5 * span_s if state[_CUTS] <= _EARLY else max(span_s, self._credit_s())
        state[_SPAN] = min(_LONGEST_SPAN_S, span_s)

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

    def _tokens_wait_s(self, now: float) -> float:
        state = self._state
        most = 5 * self._tokens  # what may be saved up: five seconds' worth
        passed = now - state[_LEVEL_AT] if state[_LEVEL_AT] else 5.0
        state[_LEVEL] = min(most, state[_LEVEL] + passed * self._tokens)
        state[_LEVEL_AT] = now
        return -state[_LEVEL] / self._tokens
