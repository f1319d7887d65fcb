"""Where does a rate go when a call was refused, and how does it come back? CUBIC's curve (RFC 9438).

A rate is cut to between what was admitted and what was refused, levels out just below the latter, stays
there for longer the dearer a refusal is, and is raised ever faster beyond. Nothing here has a state.
"""

from __future__ import annotations

__all__ = ["BELOW", "DEAR_S", "WINDOW_S", "doubling_s", "grown", "landing", "span_s"]

BELOW = 0.97
"""Where the rate levels out, of the one that was refused."""
DEAR_S = 0.3
"""A pause from which on a refusal costs more than going a little too slowly."""
WINDOW_S = 2.5
"""A pause from which on the rate that was admitted, the pause counted in, is the endpoint's: it is that of a
window, and a bucket is never empty for so long."""
_NEAR = 1.02
"""What is taken of that rate: a little more is found out in one window, a little less in many."""
_ALIKE = 0.1
"""How near two refused rates are that say the same."""
_MOSTLY = 0.8
_LOW = 0.4
"""Where a dear cut goes, between what was refused (0) and what was admitted (1)."""
_SLOWEST = 1 / 60
_PROBING = 0.3
_SLOWEST_DOUBLING_S = 5.0
_SPAN_S = 6.0
_SPAN_PER_PAUSE = 30.0
"""How long it takes to come back to the rate before a cut: the dearer a refusal, the later the next one."""
_LONGEST_SPAN_S = 60.0
_EARLY = 3
"""Cuts from which little is known yet: the next rate is tried out twice as soon."""


def grown(rate: float, top: float, passed_s: float, span: float) -> float:
    """What a rate is so long after it was cut from about `top`; at `top` again after `span` seconds."""
    beyond = passed_s / span - 1
    return top + (top * _PROBING if beyond > 0 else top - rate) * beyond**3


def doubling_s(pause_s: float) -> float:
    """In how many seconds the first rate doubles: the dearer the refusal that it comes from, the slower."""
    return min(_SLOWEST_DOUBLING_S, max(1.0, pause_s / 2))


def landing(
    admitted: float, refused: float, pause_s: float, *, top: float, before: float
) -> tuple[float, float]:
    """The rate to go on at, and the one to level out at.

    Where a refusal is dear, and one that refuses the same as the last time while nearly that much was
    admitted, the rate is known: just below.

    Args:
        admitted: calls a second that were let in lately.
        refused: the rate at which one was not.
        pause_s: how long the endpoint then wants to be left alone.
        top: where to level out at most.
        before: where the rate has levelled out so far.
    """
    admitted = max(_SLOWEST, min(admitted, 0.98 * refused))
    if pause_s < DEAR_S:
        near = 0.5 * (admitted + refused) if refused < 2 * admitted else (admitted * refused) ** 0.5
    elif pause_s >= WINDOW_S:
        near = top = min(top, _NEAR * admitted)
    elif abs(top - before) < _ALIKE * top and admitted > _MOSTLY * refused:
        near = top
    else:
        near = _LOW * admitted + (1 - _LOW) * refused
    return min(near, top), top


def span_s(pause_s: float, cuts: float, earning_s: float) -> float:
    """In how many seconds the rate is back where it levels out.

    Args:
        pause_s: what a refusal costs.
        cuts: how many there were.
        earning_s: in how many seconds the next refusal is earned.
    """
    span = _SPAN_S + _SPAN_PER_PAUSE * pause_s
    return min(_LONGEST_SPAN_S, 0.5 * span if cuts <= _EARLY else max(span, earning_s))
