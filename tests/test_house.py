"""The floors, the exported names, and what starting up may import."""

from __future__ import annotations

import importlib
import pkgutil
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import promptflow_lite

HEAVY = (
    "aiohttp",
    "azure",
    "fastapi",
    "httpx",
    "langchain_core",
    "mlflow",
    "networkx",
    "numpy",
    "openai",
    "pandas",
    "rich",
    "sqlalchemy",
    "starlette",
    "uvicorn",
    "wreq",
    "xllamacpp",
)

FLOW = """\
inputs:
  text: {type: string, default: hello}
outputs:
  text: {type: string, reference: "${echo.output}"}
nodes:
- name: echo
  type: python
  source: {type: code, path: echo.py}
  inputs:
    text: ${inputs.text}
"""

TOOL = "from promptflow_lite import tool\n\n\n@tool\ndef echo(text: str) -> str:\n    return text\n"


def _modules() -> list[str]:
    found = pkgutil.walk_packages(promptflow_lite.__path__, "promptflow_lite.")
    return sorted(
        module.name
        for module in found
        if not any(part in module.name for part in (".templates", ".shipped", ".integrations", "__main__"))
    )


def test_imports_point_downward(root: Path) -> None:
    linter = shutil.which("lint-imports") or str(Path(sys.executable).with_name("lint-imports"))
    if not Path(linter).exists():
        pytest.skip("import-linter is not installed")
    done = subprocess.run([linter, "--no-cache"], cwd=root, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout


def _in_order(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions, as ruff sorts them."""
    return 0 if name.isupper() else 1 if name[0].isupper() else 2, name


@pytest.mark.parametrize("name", _modules())
def test_a_module_says_what_it_exports_in_order(name: str) -> None:
    module = importlib.import_module(name)
    exported = getattr(module, "__all__", [])
    assert exported == sorted(exported, key=_in_order)
    for public in exported:
        assert hasattr(module, public), public
    assert module.__doc__, "a module's docstring asks its question"


def test_the_front_door_is_what_the_documentation_says() -> None:
    assert promptflow_lite.__all__ == sorted(promptflow_lite.__all__)
    assert dir(promptflow_lite) == promptflow_lite.__all__
    for name in promptflow_lite.__all__:
        assert getattr(promptflow_lite, name).__name__ == name


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'nothing'"):
        promptflow_lite.nothing  # noqa: B018


def _heavy_after(code: str, *more: str) -> list[str]:
    heavy = set(HEAVY) | set(more)
    check = (
        f"import sys\n{code}\n"
        f"print(*sorted({{n.partition('.')[0] for n in sys.modules}} & {heavy!r}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stderr.split()


@pytest.fixture
def flow(tmp_path: Path) -> Path:
    (tmp_path / "flow.dag.yaml").write_text(FLOW)
    (tmp_path / "echo.py").write_text(TOOL)
    return tmp_path


_PF = """
from promptflow_lite.cli.main import main
try:
    main({args!r})
except SystemExit as ended:
    assert ended.code == 0, ended.code
"""


@pytest.mark.parametrize(
    "code",
    [
        "import promptflow_lite",
        "from promptflow_lite import load_flow, tool",
        _PF.format(args=["--help"]),
        _PF.format(args=["flow", "--help"]),
        _PF.format(args=["flow", "test", "--help"]),
        _PF.format(args=["run", "--help"]),
    ],
)
def test_starting_up_imports_nothing_heavy(code: str) -> None:
    assert _heavy_after(code) == []


@pytest.mark.parametrize(
    "args", [["flow", "validate", "--source"], ["flow", "show", "--source"], ["flow", "test", "--flow"]]
)
def test_a_python_flow_is_checked_shown_and_tried_without_anything_heavy(args: list[str], flow: Path) -> None:
    assert _heavy_after(_PF.format(args=[*args, str(flow)]), "pydantic", "email") == []


def test_validate_runs_no_code_of_the_flow(flow: Path) -> None:
    (flow / "echo.py").write_text(f"raise SystemExit('imported')\n{TOOL}")
    assert _heavy_after(_PF.format(args=["flow", "validate", "--source", str(flow)])) == []
