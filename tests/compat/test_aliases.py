"""`import promptflow` finds our names, and only those."""

from __future__ import annotations

import importlib
import importlib.util
import json
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
    with pytest.raises(ImportError, match=r"promptflow\.core\.Nothing .*docs/compat\.md"):
        exec("from promptflow.core import Nothing")


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


def _run(*args: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "promptflow_lite.compat", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=cwd)


def test_a_module_runs_under_the_aliases_and_its_exit_code_passes(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(
        "import sys\nfrom promptflow.core import tool\nprint(__name__, sys.argv[1:])\nsys.exit(5)\n"
    )
    done = _run("-m", "job", "x", cwd=tmp_path)
    assert (done.stdout, done.stderr, done.returncode) == ("__main__ ['x']\n", "", 5)


def test_the_code_of_a_notebook_runs_commands_passed_over(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["text"]},
        {
            "cell_type": "code",
            "source": ["%pip install promptflow\n", "from promptflow.core import tool\n", "x = 1"],
        },
        {"cell_type": "code", "source": ["%%bash\n", "rm -rf nothing"]},
        {
            "cell_type": "code",
            "source": "import asyncio\nawait asyncio.sleep(0)\ndisplay(x + 1)\nprint(open('d').read())",
        },
    ]
    folder = tmp_path / "nb"
    folder.mkdir()
    (folder / "d").write_text("beside it")
    (folder / "n.ipynb").write_text(json.dumps({"cells": cells}))
    done = _run("nb/n.ipynb", cwd=tmp_path)
    assert (done.stdout, done.stderr, done.returncode) == ("2\nbeside it\n", "", 0)


def test_what_cannot_be_run_is_said(tmp_path: Path) -> None:
    assert "there is no file 'no.py'" in _run("no.py", cwd=tmp_path).stderr
    assert "usage" in _run(cwd=tmp_path).stderr
    (tmp_path / "fails.py").write_text("raise ValueError('mine')\n")
    done = _run("fails.py", cwd=tmp_path)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "ValueError: mine")


def test_ours_answers_though_the_original_is_installed(tmp_path: Path) -> None:
    for name in ("promptflow", "promptflow/core"):
        (tmp_path / "site" / name).mkdir(parents=True)
        (tmp_path / "site" / name / "__init__.py").write_text("raise RuntimeError('the original')\n")
    (tmp_path / "s.py").write_text(
        f"import sys\nsys.path.insert(0, {str(tmp_path / 'site')!r})\n"
        "import promptflow.core\nprint(promptflow.core.tool.__module__)\n"
    )
    done = _run("s.py", cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("promptflow_lite.tools.tool\n", "")
