"""Every command and option of Prompt flow 1.18.5 is here, or refused by name with what to use instead."""

from __future__ import annotations

from typing import Any

import pytest

from promptflow_lite.cli.main import command_tree, run
from promptflow_lite.cli.refused import COMMANDS, OPTIONS, pfazure

TREE = {
    "config set": "--path",
    "config show": "",
    "connection create": "--set --file -f --name -n",
    "connection update": "--set --name -n",
    "connection show": "--name -n",
    "connection list": "--max-results -r --all-results",
    "connection delete": "--name -n --yes -y --assume-yes",
    "flow init": "--type --yes -y --assume-yes --flow --entry --function --prompt-template "
    "--connection --deployment",
    "flow save": "--entry --code --path",
    "flow test": "--flow --node --variant --interactive --inputs --input --environment-variables "
    "--multi-modal --ui --config --detail --collection --skip-open-browser --init --url-params --port",
    "flow serve": "--source --port --host --engine --static_folder --environment-variables --config "
    "--skip-open-browser --init",
    "flow build": "--source --output -o --format -f --flow-only --variant -v",
    "flow validate": "--source",
    "run create": "--file -f --stream -s --flow --variant --run --name -n --column-mapping "
    "--environment-variables "
    "--connections --set --resume-from --init --data --source",
    "run update": "--name -n --set",
    "run stream": "--name -n",
    "run list": "--max-results -r --all-results --archived-only --include-archived --output -o",
    "run show": "--name -n",
    "run show-details": "--max-results -r --name -n --all-results",
    "run show-metrics": "--name -n",
    "run visualize": "--names -n --html-path",
    "run archive": "--name -n",
    "run restore": "--name -n",
    "run delete": "--name -n --yes -y --assume-yes",
    "run build": "--source --output -o --format -f --flow-only --variant -v",
    "tool init": "--package --tool --set",
    "tool list": "--flow",
    "tool validate": "--source",
    "trace delete": "--run --collection --started-before --yes -y --assume-yes",
    "service start": "--port -p --force",
    "service stop": "",
    "service status": "",
    "upgrade": "--yes -y --assume-yes",
    "experiment": "",
}
"""What `pf --help` of the original lists, and the options that its help hides; `--verbose` and `--debug` are
taken by every command of ours."""


def _command(path: str) -> Any:
    """The command of ours, or `None`."""
    found: Any = command_tree()
    for name in path.split():
        if hasattr(found, "load"):
            found.load()
        found = getattr(found, "commands", {}).get(name)
        if found is None:
            return None
    return found


@pytest.mark.parametrize("path", TREE)
def test_a_command_of_prompt_flow_is_here_or_refused_by_name(
    path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if _command(path) is not None:
        return
    refused = path if path in COMMANDS else path.split()[0]
    assert refused in COMMANDS
    assert run(command_tree(), "pf", path.split()) == 2
    assert (
        capsys.readouterr().err == f"'pf {refused}' is not part of promptflow_lite\n  {COMMANDS[refused]}\n"
    )


@pytest.mark.parametrize("path", TREE)
def test_an_option_of_prompt_flow_is_here_or_refused_by_name(
    path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = _command(path)
    if command is None:
        return
    known = {name for param in command.params for name in param.opts}
    lacking = [option for option in TREE[path].split() if option not in known]
    assert lacking == [option for option in lacking if option in OPTIONS.get(path, {})]
    for option in lacking:
        assert run(command_tree(), "pf", [*path.split(), option]) == 2
        assert OPTIONS[path][option] in capsys.readouterr().err


def test_no_refusal_is_of_what_is_here() -> None:
    assert [path for path in COMMANDS if _command(path) is not None] == []
    for path, options in OPTIONS.items():
        command = _command(path)
        known = {name for param in command.params for name in param.opts} if command else set()
        assert known.isdisjoint(options), path


def test_every_command_takes_prompt_flows_flags_for_more_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command_tree(), "pf", ["run", "list", "--verbose"]) == 0
    assert run(command_tree(), "pf", ["config", "show", "--debug"]) == 0


def test_pfazure_says_what_to_use(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        pfazure()
    assert ended.value.code == 2
    assert "pf run create" in capsys.readouterr().err
