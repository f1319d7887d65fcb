"""`import promptflow` finds our names, and only those."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from promptflow_lite import aliases


@pytest.fixture(autouse=True)
def installed() -> Iterator[None]:
    before = list(sys.meta_path)
    aliases.install()
    yield
    sys.meta_path[:] = before
    for name in [name for name in sys.modules if name.partition(".")[0] == "promptflow"]:
        del sys.modules[name]


def test_importing_the_package_puts_no_finder_on() -> None:
    code = "import promptflow_lite as p, importlib.util as u; p.tool; print(u.find_spec('promptflow'))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "None\n"


def test_installing_twice_leaves_one_finder() -> None:
    before = list(sys.meta_path)
    aliases.install()
    assert sys.meta_path == before


@pytest.mark.parametrize("name", sorted(aliases.ALIASES))
def test_an_alias_is_the_very_module_it_stands_for(name: str) -> None:
    ours = importlib.import_module(aliases.ALIASES[name])
    spec = ours.__spec__
    assert importlib.import_module(name) is ours
    assert ours.__spec__ is spec
    assert ours.__name__ == aliases.ALIASES[name]


def test_prompt_flows_tool_is_our_tool() -> None:
    from promptflow import tool as of_top  # type: ignore[import-not-found]
    from promptflow._core.tool import tool as of_private  # type: ignore[import-not-found]
    from promptflow.core import tool as of_core  # type: ignore[import-not-found]

    from promptflow_lite import tool

    assert of_top is of_core is of_private is tool


@pytest.mark.parametrize("name", ["promptflow.azure", "promptflow.core.nowhere", "promptflow._sdk.nowhere"])
def test_an_unknown_module_is_not_found_and_says_where_to_look(name: str) -> None:
    with pytest.raises(ModuleNotFoundError, match=r"not part of promptflow_lite; docs/compat\.md"):
        importlib.import_module(name)


def test_an_unknown_name_is_an_import_error_that_says_where_to_look() -> None:
    with pytest.raises(ImportError, match=r"promptflow\.core\.Prompty .*docs/compat\.md"):
        exec("from promptflow.core import Prompty")


def test_a_probe_for_a_private_name_gets_an_attribute_error() -> None:
    assert not hasattr(importlib.import_module("promptflow.core"), "__wrapped__")


def test_other_packages_are_found_as_before() -> None:
    assert importlib.util.find_spec("promptflow_lite") is not None
    assert importlib.util.find_spec("promptflowx") is None


def test_a_script_runs_under_the_aliases(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("WORD = 'beside'\n")
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom beside import WORD\nfrom promptflow.core import tool\nprint(WORD, sys.argv[1:])\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "promptflow_lite.compat", str(script), "a", "b"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("beside ['a', 'b']\n", "")
