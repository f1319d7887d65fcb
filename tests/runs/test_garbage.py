from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from promptflow_lite.runs.garbage import seldom_collected


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.enable()
    gc.unfreeze()


def test_the_collector_is_as_it_was_afterwards() -> None:
    before = gc.get_threshold()
    with seldom_collected():
        assert gc.get_threshold()[0] > before[0]
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)


def test_it_is_as_it_was_after_an_error_too() -> None:
    before = gc.get_threshold()
    with pytest.raises(RuntimeError), seldom_collected():
        raise RuntimeError
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)


def test_a_run_within_a_run_leaves_the_end_to_the_first() -> None:
    with seldom_collected():
        within = gc.get_threshold()
        with seldom_collected():
            pass
        assert gc.get_threshold() == within


def test_whoever_has_switched_the_collector_off_finds_it_off() -> None:
    gc.disable()
    with seldom_collected():
        assert not gc.isenabled()
        assert gc.get_freeze_count() == 0
    assert not gc.isenabled()


def test_thresholds_that_are_higher_already_stay() -> None:
    gc.set_threshold(50_000, 10, 10)
    with seldom_collected():
        assert gc.get_threshold() == (50_000, 10, 10)


class Knot:
    """Refers to itself: only the collector lets go of it."""

    def __init__(self) -> None:
        self.me = self


def test_knots_that_lines_leave_behind_do_not_pile_up() -> None:
    alive: weakref.WeakSet[Knot] = weakref.WeakSet()
    with seldom_collected():
        for _ in range(100_000):
            alive.add(Knot())
        assert len(alive) < 20_000
