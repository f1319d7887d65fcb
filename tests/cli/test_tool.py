"""`pf tool`, and packages of tools as Prompt flow's users make them."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from promptflow_lite.settings import settings
from tests import flows_of
from tests.commands import pf

Capture = pytest.CaptureFixture[str]

TOOLS = '''\
from typing import List, Union

from promptflow.connections import CustomConnection, CustomStrongTypeConnection
from promptflow.contracts.types import PromptTemplate, Secret
from promptflow.core import ToolProvider, tool
from promptflow._core.tool import DynamicList, InputSetting


class Shop(CustomStrongTypeConnection):
    """A shop.

    :param key: The key.
    """

    key: Secret
    base: str = "https://declared"


@tool
def buy(connection: Shop, item: str) -> str:
    assert isinstance(connection, Shop)
    return f"{item} at {connection.base} with {connection.key[:2]}"


def choices(prefix: str = "a") -> List[dict]:
    return [{"value": f"{prefix}{n}"} for n in range(3)]


@tool(
    name="Pick",
    input_settings={
        "which": InputSetting(dynamic_list=DynamicList(function=choices, input_mapping={"prefix": "kind"})),
        "student": InputSetting(enabled_by="kind", enabled_by_value=["student"]),
    },
)
def pick(kind: str, which: List[str], student: str = "") -> str:
    return f"{kind} {student}: {', '.join(which)}"


class Greeter(ToolProvider):
    def __init__(self, word: str):
        self.word = word

    @tool
    def greet(self, name: str) -> str:
        return f"{self.word} {name}"


@tool(type="custom_llm")
def ask(prompt: PromptTemplate, **values) -> str:
    return prompt + str(sorted(values))
'''

LISTING = """\
from pathlib import Path

from ruamel.yaml import YAML


def list_package_tools():
    return YAML().load((Path(__file__).parent / "tools.yaml").read_text())
"""

YAMLS = """\
shopping.tools.buy:
  name: Buy
  type: python
  module: shopping.tools
  function: buy
  inputs:
    connection: {type: [CustomConnection], custom_type: [Shop]}
    item: {type: [string]}
shopping.tools.pick:
  name: Pick
  type: python
  module: shopping.tools
  function: pick
  inputs:
    kind: {type: [string], enum: [student, teacher]}
    which:
      type: [list]
      is_multi_select: true
      dynamic_list:
        func_path: shopping.tools.choices
        func_kwargs: [{name: prefix, type: [string], reference: "${inputs.kind}", optional: true}]
    student: {type: [string], enabled_by: kind, enabled_by_value: [student]}
shopping.tools.Greeter.greet:
  name: Greet
  type: python
  module: shopping.tools
  class_name: Greeter
  function: greet
  inputs: {word: {type: [string]}, name: {type: [string]}}
shopping.tools.ask:
  name: Ask
  type: custom_llm
  module: shopping.tools
  function: ask
  inputs: {}
"""

FLOW = """\
inputs: {name: {type: string, default: Ann}}
outputs:
  bought: {type: string, reference: "${buy.output}"}
  picked: {type: string, reference: "${pick.output}"}
  greeted: {type: string, reference: "${greet.output}"}
  asked: {type: string, reference: "${ask.output}"}
nodes:
- name: buy
  type: python
  source: {type: package, tool: shopping.tools.buy}
  inputs: {connection: my_shop, item: tea}
- name: pick
  type: python
  source: {type: package, tool: shopping.tools.pick}
  inputs: {kind: student, which: [x, y], student: "${inputs.name}"}
- name: greet
  type: python
  source: {type: package, tool: shopping.tools.Greeter.greet}
  inputs: {word: hello, name: "${inputs.name}"}
- name: ask
  type: custom_llm
  source: {type: package_with_prompt, tool: shopping.tools.ask, path: ask.jinja2}
  inputs: {name: "${inputs.name}"}
"""


def _json(capsys: Capture, *args: object) -> Any:
    capsys.readouterr()
    pf(*args, "--output", "json")
    return json.loads(capsys.readouterr().out)


def _installed(site: Path, module: str, entry: str) -> None:
    """What an installer writes beside a package."""
    info = site / f"{module}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module.replace('_', '-')}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[package_tools]\n{module} = {entry}\n")


@pytest.fixture
def shopping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package as Prompt flow's users make them, installed; and a connection for it."""
    site = tmp_path / "site"
    flows_of.write(
        site / "shopping", __init____py="", tools__py=TOOLS, listing__py=LISTING, tools__yaml=YAMLS
    )
    _installed(site, "shopping", "shopping.listing:list_package_tools")
    monkeypatch.syspath_prepend(site)
    importlib.invalidate_caches()
    settings().connections.mkdir()
    (settings().connections / "my_shop.yaml").write_text(
        "type: custom\ncustom_type: Shop\nmodule: shopping.tools\npackage: shopping\npackage_version: '1.0'\n"
        "configs: {base: 'https://mine'}\nsecrets: {key: sk-12345}\n"
    )
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "shopping"]:
        del sys.modules[name]


def test_a_connection_of_a_package_is_checked_against_its_class(shopping: Path, capsys: Capture) -> None:
    file = shopping / "c.yaml"
    body = "name: c\ntype: custom\ncustom_type: Shop\nmodule: shopping.tools\nsecrets: {%s: x}\n"
    file.write_text(body % "wrong")
    assert pf("connection", "create", "--file", file) == 2
    assert "'Shop' of shopping.tools needs 'key'" in capsys.readouterr().err
    file.write_text(body % "key")
    assert pf("connection", "create", "--file", file) == 0
    assert pf("connection", "create", "--file", file, "--set", "custom_type=Shpo") == 2
    assert "did you mean 'Shop'?" in capsys.readouterr().err
    assert pf("connection", "create", "--file", file, "--set", "module=not_here.tools") == 0
    assert "cannot be imported here, so its fields are not checked" in capsys.readouterr().err


def test_a_flow_calls_the_tools_of_a_package(shopping: Path, capsys: Capture) -> None:
    flow = flows_of.write(shopping / "flow", dag=FLOW, ask__jinja2="say {{name}}")
    assert pf("flow", "test", "--flow", flow) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {
        "bought": "tea at https://mine with sk",
        "picked": "student Ann: x, y",
        "greeted": "hello Ann",
        "asked": "say {{name}}['name']",
    }
    assert "sk-12345" not in out + err


def test_a_connection_that_lacks_a_declared_field_is_an_error_before_the_first_line(
    shopping: Path, capsys: Capture
) -> None:
    (settings().connections / "my_shop.yaml").write_text(
        "type: custom\nconfigs: {base: b}\nsecrets: {other: x}\n"
    )
    flow = flows_of.write(shopping / "flow", dag=FLOW, ask__jinja2="x")
    assert pf("flow", "test", "--flow", flow) == 2
    assert "connection 'my_shop' as Shop: 'key' is not set" in capsys.readouterr().err


def test_tools_are_listed_with_what_they_say_of_their_inputs(shopping: Path, capsys: Capture) -> None:
    found = _json(capsys, "tool", "list")
    assert (
        found["shopping.tools.pick"]["inputs"]["which"]["dynamic_list"]["func_path"]
        == "shopping.tools.choices"
    )
    assert found["shopping.tools.buy"]["package"] == "shopping"
    flow = flows_of.write(shopping / "f", dag=flows_of.ECHO, echo__py=TOOLS.replace("shopping.", ""))
    listed = _json(capsys, "tool", "list", "--flow", flow)
    pick = listed["echo.py:pick"]
    assert pick["name"] == "Pick"
    assert pick["inputs"]["student"] == {
        "type": ["string"],
        "default": "",
        "enabled_by": "kind",
        "enabled_by_value": ["student"],
    }
    arguments = pick["inputs"]["which"]["dynamic_list"]["func_kwargs"]
    assert [(a["name"], a["reference"], a["optional"]) for a in arguments] == [
        ("prefix", "${inputs.kind}", True)
    ]
    assert listed["echo.py:buy"]["inputs"]["connection"] == {
        "type": ["CustomConnection"],
        "custom_type": ["Shop"],
    }


def test_what_tools_say_is_checked(shopping: Path, capsys: Capture) -> None:
    assert pf("tool", "validate", "--source", "shopping") == 0
    assert pf("tool", "validate", "--source", "shopping.tools.pick") == 0
    assert pf("tool", "validate", "--source", shopping / "site" / "shopping" / "tools.py") == 0
    wrong = YAMLS.replace("func_path: shopping.tools.choices", "func_path: shopping.tools.gone")
    wrong = wrong.replace("enabled_by: kind", "enabled_by: what").replace("item: {type", "thing: {type")
    (shopping / "site" / "shopping" / "tools.yaml").write_text(wrong)
    found = _json(capsys, "tool", "validate", "--source", "shopping")
    messages = [message for _, message in found["errors"]]
    assert messages[0] == "input 'thing' is no parameter of 'buy'"
    assert messages[1] == "parameter 'item' of 'buy' is not among its inputs"
    assert "there is no function 'shopping.tools.gone'" in messages[2]
    assert messages[3] == "input 'student' is enabled by 'what', which is no input"
    assert pf("tool", "validate", "--source", "shopping.tools.choices") == 2
    assert pf("tool", "validate", "--source", "no_such_package") == 2


def test_a_package_made_by_prompt_flows_tool_init_lists_its_tools(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    listing = (
        "def list_package_tools(raise_error=False):\n    from promptflow.client import PFClient\n\n"
        "    return PFClient().tools._list_tools_in_package('made_there', raise_error=raise_error)\n"
    )
    one = "from promptflow.core import tool\n@tool(name='One')\ndef one(text: str) -> str:\n    return text\n"
    flows_of.write(tmp_path / "made_there", __init____py="", utils__py=listing, one__py=one)
    _installed(tmp_path, "made_there", "made_there.utils:list_package_tools")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    found = _json(capsys, "tool", "list")
    assert found["made_there.one.one"]["name"] == "One"


def test_a_new_package_works_and_its_tests_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert pf("tool", "init", "--package", "my-tools", "--tool", "shout", "--set", "category=text") == 0
    assert pf("tool", "init", "--package", "my-tools", "--tool", "whisper") == 0
    assert pf("tool", "init", "--package", "my-tools", "--tool", "shout") == 2
    assert pf("tool", "init", "--tool", "not a name") == 2
    assert pf("tool", "init", "--tool", "alone") == 0
    assert pf("tool", "validate", "--source", "alone.py") == 0
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", "my-tools"],
        capture_output=True,
        text=True,
        timeout=120,
        env={"PYTHONPATH": "my-tools", "PATH": ""},
    )
    assert "4 passed" in done.stdout, done.stdout + done.stderr
    project = (tmp_path / "my-tools" / "pyproject.toml").read_text()
    assert '[project.entry-points.package_tools]\nmy_tools = "my_tools.listing:list_package_tools"' in project
