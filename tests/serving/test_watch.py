"""Which changes are changes of the flow?"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from promptflow_lite.serving.watch import changes, stamps
from tests.flows_of import echo, write


def _names(flow: Path) -> set[str]:
    return {os.path.relpath(name, flow) for name in stamps(flow)}


def test_code_yaml_and_prompts_are_watched_and_what_a_flow_writes_is_not(tmp_path: Path) -> None:
    flow = write(echo(tmp_path / "flow"), helper__py="", prompt__jinja2="", log__jsonl="", data__csv="")
    write(flow / "__pycache__", echo__py="")
    write(flow / ".promptflow", echo__py="")
    write(flow / "sub", more__py="")
    assert _names(flow) == {"flow.dag.yaml", "echo.py", "helper.py", "prompt.jinja2", "sub/more.py"}


def test_what_a_flow_includes_from_elsewhere_is_watched(tmp_path: Path) -> None:
    write(tmp_path / "shared", words__py="")
    flow = echo(tmp_path / "flow")
    (flow / "flow.dag.yaml").write_text(
        (flow / "flow.dag.yaml").read_text() + "additional_includes: [../shared]\n"
    )
    assert any(name.endswith("words.py") for name in stamps(flow))


def test_a_flow_that_is_half_written_is_still_watched(tmp_path: Path) -> None:
    flow = write(echo(tmp_path / "flow"), dag="nodes: [")
    assert _names(flow) == {"flow.dag.yaml", "echo.py"}


async def test_a_change_is_told_once_it_rests(tmp_path: Path) -> None:
    flow = echo(tmp_path / "flow")
    told = changes(flow, stamps(flow))
    waiting = asyncio.ensure_future(anext(told))
    await asyncio.sleep(0.1)
    write(flow, more__py="x = 1")
    assert await asyncio.wait_for(waiting, 60) == ["more.py"]
    await told.aclose()  # type: ignore[attr-defined]  # it is a generator
