from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from promptflow_lite.errors import InputError
from promptflow_lite.flow.refs import Ref, follow

_NAMES = st.text("abc_- 1é名", min_size=1, max_size=8).filter(lambda n: n not in ("inputs", "flow"))
_STEPS = st.integers(0, 99) | st.text("abc_ -.[]世$", min_size=1, max_size=5)
_REFS = st.builds(lambda name: Ref("inputs", name), st.text("abc_. -", min_size=1, max_size=8)) | st.builds(
    lambda name, path: Ref("node", name, tuple(path)), _NAMES, st.lists(_STEPS, max_size=4)
)


@given(_REFS)
def test_a_printed_reference_is_parsed_to_itself(ref: Ref) -> None:
    assert Ref.is_reference(str(ref))
    assert Ref.in_flow(str(ref)) == ref


@given(st.sampled_from(["data", "run.inputs", "run.outputs"]), st.text("abc_. -世", min_size=1, max_size=8))
def test_a_column_reference_is_parsed_to_itself(scope: str, column: str) -> None:
    ref = Ref.in_mapping(f"${{{scope}.{column}}}")
    assert (ref.scope, ref.name, str(ref)) == (scope, column, f"${{{scope}.{column}}}")


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("${inputs.a}", Ref("inputs", "a")),
        ("${flow.a}", Ref("inputs", "a")),
        ("${inputs.a.b}", Ref("inputs", "a.b")),
        ("${n}", Ref("node", "n")),
        ("${my-node 1.output}", Ref("node", "my-node 1")),
        ("${n.output.a['k-x'][0].b}", Ref("node", "n", ("a", "k-x", 0, "b"))),
        ("${n.output[0]}", Ref("node", "n", (0,))),
    ],
)
def test_the_shapes_of_prompt_flow_are_read(text: str, ref: Ref) -> None:
    assert Ref.in_flow(text) == ref


@pytest.mark.parametrize(
    "text", ["pre ${inputs.a}", "${inputs.a} ", "$inputs.a", "${}", 3, None, ["${inputs.a}"]]
)
def test_what_is_not_wholly_a_reference_is_a_literal(text: object) -> None:
    assert not Ref.is_reference(text)


@pytest.mark.parametrize(
    "text",
    [
        "${inputs}",
        "${inputs.}",
        "${n.outputs}",
        "${n.x}",
        "${n.output.}",
        "${n.output[-1]}",
        '${n.output["a"]}',
    ],
)
def test_what_cannot_be_followed_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\$\{"):
        Ref.in_flow(text)


@dataclass
class Point:
    x: int

    def secret(self) -> int:
        return self.x


class Model(BaseModel):
    y: int


def test_keys_indexes_and_fields_are_followed() -> None:
    value = {"a": [Point(1), Model(y=2)], "k-x": None}
    assert follow(value, Ref.in_flow("${n.output.a[0].x}")) == 1
    assert follow(value, Ref.in_flow("${n.output.a[1].y}")) == 2
    assert follow(value, Ref.in_flow("${n.output['k-x']}")) is None
    assert follow({"t": "abc"}, Ref.in_flow("${n.output.t[1]}")) == "b"


@pytest.mark.parametrize(
    "path", [".a[0].secret", ".a[0].__class__", ".a[5]", ".a.x", ".b", ".a[0].x.real", ".a[1].model_dump"]
)
def test_nothing_else_can_be_reached(path: str) -> None:
    with pytest.raises(InputError) as raised:
        follow({"a": [Point(1), Model(y=2)]}, Ref.in_flow(f"${{n.output{path}}}"))
    assert raised.value.code == "bad-property"
