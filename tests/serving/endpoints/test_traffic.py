"""Who gets a request: shares, sessions, and what a roll-out does with a bad one."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptflow_lite.serving.endpoints.rollout import Record, without
from promptflow_lite.serving.endpoints.spec import DeploymentSpec, EndpointSpec, Rollout, traffic_complaints
from promptflow_lite.serving.endpoints.traffic import pick, point_of


def _spec(traffic: dict[str, int], mirror: dict[str, int] | None = None) -> EndpointSpec:
    names = ("blue", "green", "red")
    deployments = {name: DeploymentSpec(name=name, source="", flow="") for name in names}
    return EndpointSpec(
        name="my-endpoint", traffic=traffic, mirror_traffic=mirror or {}, deployments=deployments
    )


@given(st.lists(st.integers(0, 100), min_size=1, max_size=5), st.floats(0, 100, exclude_max=True))
def test_a_point_is_of_the_share_it_lies_in(percents: list[int], point: float) -> None:
    shares = {str(number): percent for number, percent in enumerate(percents)}
    name = pick(shares, point)
    ends = [sum(percents[: number + 1]) for number in range(len(percents))]
    expected = next((number for number, end in enumerate(ends) if point < end), None)
    assert name == (None if expected is None else str(expected))


def test_sessions_spread_as_the_percents_say() -> None:
    points = [point_of(b"session-%d" % number, "my-endpoint") for number in range(5000)]
    green = sum(pick({"blue": 90, "green": 10}, point) == "green" for point in points)
    assert abs(green - 500) < 5 * math.sqrt(5000 * 0.1 * 0.9)


def test_a_session_that_has_green_keeps_it_while_green_grows() -> None:
    points = [point_of(b"session-%d" % number, "my-endpoint") for number in range(1000)]
    for before, after in ((10, 30), (30, 100)):
        had = [p for p in points if pick({"blue": 100 - before, "green": before}, p) == "green"]
        assert had
        assert all(pick({"blue": 100 - after, "green": after}, p) == "green" for p in had)


@pytest.mark.parametrize(
    ("traffic", "mirror", "wrong"),
    [
        ({}, {}, []),
        ({"blue": 0, "green": 0}, {}, []),
        ({"blue": 90, "green": 10}, {}, []),
        ({"blue": 90, "green": 5}, {}, ["traffic"]),
        ({"blue": 100, "yellow": 0}, {}, ["traffic"]),
        ({"blue": 100}, {"green": 50}, []),
        ({"blue": 100}, {"green": 51}, ["mirror_traffic"]),
        ({"blue": 100}, {"green": 10, "red": 10}, ["mirror_traffic"]),
        ({"blue": 90, "green": 10}, {"green": 10}, ["mirror_traffic"]),
        ({"blue": 90, "green": 10}, {"green": 0}, []),
    ],
)
def test_percents_follow_azures_rules(
    traffic: dict[str, int], mirror: dict[str, int], wrong: list[str]
) -> None:
    assert [key for key, _ in traffic_complaints(_spec(traffic, mirror))] == wrong


def test_a_deployment_is_judged_once_there_are_enough_answers() -> None:
    record = Record(Rollout(max_error_rate=0.1, min_requests=50, window_s=10))
    for number in range(49):
        record.count(failed=True, now=number / 100)
    assert not record.is_too_bad
    record.count(failed=True, now=0.5)
    assert record.is_too_bad


def test_old_answers_no_longer_count() -> None:
    record = Record(Rollout(max_error_rate=0.1, min_requests=5, window_s=10))
    for number in range(5):
        record.count(failed=True, now=number)
    for number in range(100):
        record.count(failed=False, now=20 + number / 100)
    assert (record.size, record.rate) == (100, 0.0)


@given(st.lists(st.integers(1, 50), min_size=2, max_size=4))
def test_the_others_get_the_whole_of_what_is_taken(parts: list[int]) -> None:
    traffic = {str(number): part for number, part in enumerate(parts)}
    traffic["0"] += 100 - sum(parts) if sum(parts) <= 100 else 0
    after = without(traffic, "1")
    assert after is not None
    assert after["1"] == 0
    assert sum(after.values()) == 100


def test_the_only_one_keeps_its_traffic() -> None:
    assert without({"blue": 100, "green": 0}, "blue") is None


def test_requests_are_drawn_within_the_bounds_of_a_binomial() -> None:
    drawn = random.Random(7)
    green = sum(pick({"blue": 90, "green": 10}, drawn.random() * 100) == "green" for _ in range(5000))
    assert abs(green - 500) < 5 * math.sqrt(5000 * 0.1 * 0.9)
