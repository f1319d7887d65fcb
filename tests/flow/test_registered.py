"""Registered prompts: how nodes name them, and the file that holds them."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptflow_lite.errors import UserError
from promptflow_lite.flow.check import check
from promptflow_lite.flow.load import load_flow
from promptflow_lite.flow.registered import LOCK, Registered, Wanted, locked, unlock, wanted

FLOW = """\
inputs: {q: {type: string}}
outputs: {a: {type: string, reference: "${ask.output}"}}
nodes:
- name: ask
  type: TYPE
  source: {type: code, path: "prompts:/qa@prod"}
  inputs: {q: "${inputs.q}", extra: 1}
"""


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("prompts:/q-a.b_1/12", Wanted("prompts:/q-a.b_1/12", "q-a.b_1", 12, None)),
        ("prompts:/qa@prod", Wanted("prompts:/qa@prod", "qa", None, "prod")),
        ("ask.jinja2", None),
        (None, None),
    ],
)
def test_a_prompt_is_named_by_its_version_or_by_an_alias(path: str | None, found: Wanted | None) -> None:
    assert wanted(path) == found


@pytest.mark.parametrize(
    "path", ["prompts:/qa", "prompts:/qa/0", "prompts:/qa/x", "prompts:/../a/1", "prompts:qa/1"]
)
def test_a_name_without_a_version_is_refused(path: str) -> None:
    with pytest.raises(UserError) as raised:
        wanted(path)
    assert raised.value.code == "bad-prompt-uri"


def test_a_lock_file_gives_back_what_it_was_given(tmp_path: Path) -> None:
    prompts = {"prompts:/qa@prod": Registered("qa", 3, "答え: {{q}}")}
    (tmp_path / LOCK).write_bytes(locked(prompts))
    assert unlock(tmp_path / LOCK) == prompts
    assert prompts["prompts:/qa@prod"].uri == "prompts:/qa/3"
    assert unlock(tmp_path / "absent") == {}


@pytest.mark.parametrize("text", ["", "[]", '{"prompts:/a/1": {"name": "a"}}', '{"a": 1}'])
def test_a_lock_file_that_is_none_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / LOCK).write_text(text)
    with pytest.raises(UserError) as raised:
        unlock(tmp_path / LOCK)
    assert raised.value.code == "bad-prompt-lock"


def test_a_prompt_that_is_held_is_checked_as_a_file_is(tmp_path: Path) -> None:
    (tmp_path / "flow.dag.yaml").write_text(FLOW.replace("TYPE", "prompt"))
    flow = load_flow(tmp_path)
    assert check(flow) == []
    held = flow.derive(prompts={"prompts:/qa@prod": Registered("qa", 3, "{{q}} {{z}}")})
    assert {(one.code, one.mark.key) for one in check(held) if one.mark} == {
        ("template-variable-unset", "nodes[0].inputs"),
        ("input-unused-in-template", "nodes[0].inputs.extra"),
    }


def test_a_node_without_a_prompt_takes_none(tmp_path: Path) -> None:
    (tmp_path / "flow.dag.yaml").write_text(FLOW.replace("TYPE", "python"))
    assert [one.code for one in check(load_flow(tmp_path))] == ["bad-prompt-uri"]
