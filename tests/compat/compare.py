"""Do the original's own flows give the same here? Both sides, one scripted model on loopback, one table.

    python -m tests.compat.compare --checkout DIR --original PYTHON [--only TEXT] [--write docs/compat.md]

DIR is a checkout of the original's repository, of which copies are run: nothing is written into it. PYTHON
holds promptflow 1.18 with promptflow-tools. Both Pythons hold what the flows import: requests, numpy, pillow,
beautifulsoup4; what only one flow needs, such as `langchain<0.2`, may be in a folder that --site names
(pip install --target). The exit code is 1 if a difference is there that `cases.DIFFERENT` does not explain.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from tests.compat.cases import Case, cases_in, lines_of, why_different

_COPIED = ("examples", "src/promptflow/tests/test_configs")
_BEGIN, _END = "<!-- compared: begin -->", "<!-- compared: end -->"


@dataclass(frozen=True)
class Row:
    """What became of one case."""

    case: Case
    verdict: str
    lines: int
    details: Sequence[str] = ()

    @property
    def is_open(self) -> bool:
        """Whether a difference is there that nobody has explained."""
        return self.verdict == "different" and why_different(self.case) is None


def main() -> int:
    """Compare, print, write; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--checkout", type=Path, required=True)
    parser.add_argument("--original", type=Path, required=True, help="the Python that holds the original")
    parser.add_argument("--only", default="", help="run the cases whose name holds this")
    parser.add_argument("--details", type=int, default=4, help="how many differences of a case to print")
    parser.add_argument("--write", type=Path, help="the page whose table is replaced")
    parser.add_argument("--site", type=Path, help="a folder of packages that both sides shall find")
    parser.add_argument("--keep", type=Path, help="a folder for the raw outcomes and logs of both sides")
    asked = parser.parse_args()
    cases = [case for case in cases_in(asked.checkout) if asked.only in case.id]
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        theirs, ours = _run_both(cases, asked, folder)
    rows = [compared(case, theirs[case.id], ours[case.id]) for case in cases]
    _print(rows, asked.details)
    if asked.write is not None:
        write_table(asked.write, rows)
    return 1 if any(row.is_open for row in rows) else 0


def _run_both(
    cases: Sequence[Case], asked: argparse.Namespace, folder: Path
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The outcomes by case, the original's and ours; both sides run at once, each on a copy of its own."""
    running = [
        _start(name, python, cases, asked, folder)
        for name, python in (("original", asked.original), ("ours", Path(sys.executable)))
    ]
    found = []
    for process, result, copy in running:
        code = process.wait()
        shutil.rmtree(copy, ignore_errors=True)
        if code:
            raise SystemExit(f"a side failed; see {folder}")
        found.append({outcome["id"]: outcome for outcome in json.loads(result.read_text())})
    return found[0], found[1]


def _start(
    name: str, python: Path, cases: Sequence[Case], asked: argparse.Namespace, folder: Path
) -> tuple[subprocess.Popen[bytes], Path, Path]:
    copy = Path(tempfile.mkdtemp(prefix=f"compat-{name}-"))
    for part in _COPIED:
        shutil.copytree(asked.checkout / part, copy / part, symlinks=True)
    for script in copy.rglob("create_symlinks.py"):  # an example's own preparation, as its README has it
        subprocess.run([python, script], check=True)
    given = folder / f"{name}.cases.json"
    given.write_text(json.dumps([_as_json(case, copy) for case in cases]))
    result, noise = folder / f"{name}.json", folder / f"{name}.log"
    noise.write_text("")
    root = Path(__file__).parents[2]
    environment = {
        **{
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("PF_", "OPENAI_", "AZURE_"))
        },
        "PF_HOME": str(copy / "home"),
        "PF_HOME_DIRECTORY": str(copy / "home"),
        "PF_DISABLE_TRACING": "true",
        "PYTHONHASHSEED": "0",
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        "PYTHONPATH": os.pathsep.join(map(str, [root, *([asked.site.absolute()] if asked.site else [])])),
    }
    with (folder / f"{name}.err").open("wb") as errors:
        process = subprocess.Popen(
            [python, "-m", f"tests.compat.sides.{name}", given, result, noise],
            env=environment,
            cwd=copy,
            stdout=errors,
            stderr=errors,
        )
    return process, result, copy


def _as_json(case: Case, copy: Path) -> dict[str, Any]:
    path = copy / case.path
    lines = lines_of(path) if case.lines is None else list(case.lines)
    return {
        "id": case.id,
        "kind": case.kind,
        "path": str(path),
        "lines": lines,
        "variant": case.variant,
        "init": case.init,
        "answer": case.answer,
        "status": case.status,
        "kinds": dict(case.kinds),
    }


def compared(case: Case, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> Row:
    """What became of a case, by the outcomes of both sides."""
    verdict, details = _verdict(theirs, ours)
    return Row(case, verdict, len(theirs.get("lines") or ours.get("lines") or ()), details)


def _verdict(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> tuple[str, list[str]]:
    they_refuse, we_refuse = theirs.get("refused"), ours.get("refused")
    if they_refuse and we_refuse:
        return "both refuse", [f"original: {they_refuse}", f"ours: {we_refuse}"]
    if they_refuse:
        return "different", [f"only the original refuses: {they_refuse}"]
    if we_refuse:
        if theirs["lines"] and all(line["status"] != "Completed" for line in theirs["lines"]):
            return "refused before the first line", [
                f"original, in each line: {theirs['lines'][0].get('error')}",
                f"ours: {we_refuse}",
            ]
        return "different", [f"only we refuse: {we_refuse}"]
    details = [*_line_details(theirs, ours), *_end_details(theirs, ours)]
    if details:
        return "different", details
    completed = sum(line["status"] == "Completed" for line in theirs["lines"])
    failed = len(theirs["lines"]) - completed
    return ("same" if not failed else "same, and fails where it fails" if completed else "both fail"), []


def _line_details(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    for number, (their, our) in enumerate(zip(theirs["lines"], ours["lines"], strict=True)):
        if their["status"] != our["status"]:
            said = f"{their.get('error')} | {our.get('error')}"
            found.append(f"line {number}: {their['status']} | {our['status']}: {said}")
        elif their["status"] == "Completed":
            for name, value in their["outputs"].items():
                if _comparable(value) != _comparable(our["outputs"].get(name)):
                    found.append(
                        f"line {number} output {name}: {_cut(value)} | {_cut(our['outputs'].get(name))}"
                    )
            for name, run in their["nodes"].items():
                if _comparable(run) != _comparable(our["nodes"].get(name)) and not _is_generator(run[1]):
                    found.append(f"line {number} node {name}: {_cut(run)} | {_cut(our['nodes'].get(name))}")
            if their["outputs"].keys() != our["outputs"].keys():
                found.append(f"line {number} outputs: {list(their['outputs'])} | {list(our['outputs'])}")
    return found


def _is_generator(value: Any) -> bool:
    """The original's record of a node that streams holds no value."""
    return "generator object " in json.dumps(value)


def _end_details(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    found = [
        f"{what}: {_cut(theirs.get(what))} | {_cut(ours.get(what))}"
        for what in ("metrics", "aggregation")
        if _comparable(theirs.get(what) or {}) != _comparable(ours.get(what) or {})
    ]
    if all(line["status"] == "Completed" for line in theirs["lines"]):
        found += _wire_details([*map(_request, theirs["wire"])], ours["wire"])
    return found


def _wire_details(asked: list[str], ours: Sequence[Sequence[Any]]) -> list[str]:
    """The requests of one side only. The original sends no model where a flow names only a deployment."""
    alone: list[str] = []
    for request in ours:
        same = next(
            (r for r in (_request(request), _request(request, without=("model",))) if r in asked), None
        )
        if same is None:
            alone.append(_request(request))
        else:
            asked.remove(same)
    pairs = zip_longest(sorted(asked), sorted(alone), fillvalue="none")
    return [f"request: {_cut(their, 900)} | {_cut(our, 900)}" for their, our in pairs][:1]


def _says_nothing(value: Any) -> bool:
    return value is None or value is False or value in ("", {}, [])


def _request(request: Sequence[Any], without: Sequence[str] = ()) -> str:
    """A request to compare: keys that say nothing are left out."""
    path, body = request
    said = {key: value for key, value in body.items() if not _says_nothing(value) and key not in without}
    if path.endswith("/completions"):  # one answer, which is what is sent unasked
        said = {key: value for key, value in said.items() if (key, value) not in (("n", 1), ("best_of", 1))}
    if path.endswith("/embeddings"):
        said.pop("encoding_format", None)
        said["input"] = body["input"] if isinstance(body["input"], list) else [body["input"]]
    said.pop("stream_options", None)  # they ask for the count of tokens
    return json.dumps(_comparable([path, said]), sort_keys=True, ensure_ascii=False)


def _comparable(value: Any) -> Any:
    """A value without what is no difference: 1.0 for 1, and the null fields of messages.

    The original gives a message with all fields of the installed client library, we as the endpoint sent it.
    """
    if isinstance(value, dict):
        is_message = "role" in value and "content" in value
        kept = {key: item for key, item in value.items() if not is_message or item is not None}
        return {key: _comparable(item) for key, item in kept.items()}
    if isinstance(value, list):
        return [_comparable(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _cut(value: Any, longest: int = 300) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= longest else f"{text[:longest]}..."


def _print(rows: Sequence[Row], details: int) -> None:
    for row in rows:
        if row.verdict == "different" or details > 9:
            print(f"{row.verdict}: {row.case.id}" + (f" [{why_different(row.case) or 'open'}]"))
            print("".join(f"    {detail}\n" for detail in row.details[:details]), end="")
    print(
        ", ".join(f"{count} {verdict}" for verdict, count in Counter(r.verdict for r in rows).most_common())
    )
    print(f"{sum(row.is_open for row in rows)} differences are not explained")


def write_table(page: Path, rows: Sequence[Row]) -> None:
    """Put the table of rows between the marks of a page."""
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    table = ["| flow | lines | outcome |", "|---|---|---|"]
    for row in rows:
        why = why_different(row.case)
        said = f"different: {why}" if row.verdict == "different" and why else row.verdict
        table.append(f"| `{row.case.id}` | {row.lines} | {said} |")
    page.write_text(
        "\n".join([before.rstrip("\n"), "", _BEGIN, "", *table, "", _END + after]), encoding="utf-8"
    )


if __name__ == "__main__":
    sys.exit(main())
