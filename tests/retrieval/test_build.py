from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from promptflow_lite.errors import InputError
from promptflow_lite.retrieval.build import build, delete, update
from promptflow_lite.retrieval.document import place_of
from promptflow_lite.retrieval.embed import LocalEmbedder
from promptflow_lite.retrieval.index import Index
from promptflow_lite.retrieval.read import find_files, read_file
from promptflow_lite.retrieval.retriever import IndexRetriever


class Counting:
    """The real encoder, which tells what it was given."""

    def __init__(self, encoder: LocalEmbedder) -> None:
        self.name, self.dimension = encoder.name, encoder.dimension
        self.texts: list[str] = []
        self._encoder = encoder

    def embed(self, texts: Sequence[str]) -> Any:
        self.texts += texts
        return self._encoder.embed(texts)


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def test_an_index_tells_what_it_was_made_of(
    manual: Path, tmp_path: Path, encoder: LocalEmbedder
) -> None:
    built = await build([str(manual)], tmp_path / "new" / "m.index", embedder=encoder, size=100, overlap=10)
    index = Index(tmp_path / "new" / "m.index")
    assert index.info == built.info
    assert (index.info.files, index.info.documents, index.info.chunks, built.embedded) == (2, 2, 4, 4)
    assert (index.info.size, index.info.overlap, index.info.embedding) == (100, 10, "local")
    index.close()


async def test_chunks_remember_their_place_in_the_file(
    manual: Path, tmp_path: Path, encoder: LocalEmbedder
) -> None:
    await build([str(manual)], tmp_path / "m.index", embedder=encoder)
    index = Index(tmp_path / "m.index")
    (found,) = index.search("掃除", mode="keyword", top_k=1)
    index.close()
    assert found.id == "lamp.md:3"
    where = {key: found.metadata[key] for key in ("source", "document", "title", "heading")}
    assert where == {
        "source": "lamp.md",
        "document": "lamp.md",
        "title": "Lamp",
        "heading": "Lamp > ランプの掃除",
    }
    text = (manual / "lamp.md").read_text(encoding="utf-8")
    assert text[found.metadata["start"] : found.metadata["end"]] == found.content


async def test_a_rebuild_embeds_only_what_changed(
    manual: Path, tmp_path: Path, encoder: LocalEmbedder
) -> None:
    output, counting = tmp_path / "m.index", Counting(encoder)
    await build([str(manual)], output, embedder=counting)
    counting.texts.clear()
    (manual / "kettle.txt").write_text("The kettle is blue.", encoding="utf-8")
    (manual / "lamp.md").rename(manual / "light.md")
    built = await build([str(manual)], output, embedder=counting)
    assert counting.texts == ["kettle\nThe kettle is blue."]
    assert built.embedded == 1


async def test_what_is_gone_from_the_files_is_gone_from_the_index(
    manual: Path, tmp_path: Path, encoder: LocalEmbedder
) -> None:
    output = tmp_path / "m.index"
    await build([str(manual)], output, embedder=encoder)
    (manual / "kettle.txt").unlink()
    await build([str(manual)], output, embedder=encoder)
    index = Index(output)
    assert index.search("kettle vinegar", mode="keyword") == []
    index.close()


async def test_a_reader_keeps_the_index_it_opened(
    manual: Path, tmp_path: Path, encoder: LocalEmbedder
) -> None:
    output = tmp_path / "m.index"
    await build([str(manual)], output, embedder=encoder)
    index = Index(output)
    (manual / "kettle.txt").write_text("nothing of it left", encoding="utf-8")
    await build([str(manual)], output, embedder=encoder)
    assert [found.id for found in index.search("vinegar", mode="keyword")] == ["kettle.txt"]
    index.close()


async def test_a_build_that_fails_leaves_the_old_index_and_nothing_else(
    manual: Path, tmp_path: Path, encoder: LocalEmbedder
) -> None:
    class Broken(Counting):
        def embed(self, texts: Sequence[str]) -> Any:
            raise RuntimeError("out of memory")

    folder = tmp_path / "out"
    await build([str(manual)], folder / "m.index", embedder=encoder)
    before = (folder / "m.index").read_bytes()
    (manual / "new.txt").write_text("new", encoding="utf-8")
    with pytest.raises(RuntimeError):
        await build([str(manual)], folder / "m.index", embedder=Broken(encoder))
    assert names_in(folder) == {"m.index"}
    assert (folder / "m.index").read_bytes() == before


@pytest.mark.parametrize("where", ["kettle.txt/m.index", "."])
async def test_an_output_that_cannot_be_written_is_named(
    manual: Path, encoder: LocalEmbedder, where: str
) -> None:
    with pytest.raises(InputError) as caught:
        await build([str(manual)], manual / where, embedder=encoder)
    assert caught.value.code == "bad-output"
    assert names_in(manual) == {"kettle.txt", "lamp.md"}


async def test_every_bad_file_is_named_at_once(tmp_path: Path, encoder: LocalEmbedder) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff")
    (tmp_path / "b.jsonl").write_text('{"content": 1}')
    (tmp_path / "c.jsonl").write_text('{"id": "x", "content": "c"}\n{"id": "x", "content": "d"}')
    with pytest.raises(InputError) as caught:
        await build([str(tmp_path), "gone.md"], tmp_path / "m.index", embedder=encoder)
    message = caught.value.message
    assert all(part in message for part in ("gone.md", "a.txt", "b.jsonl:1", "c.jsonl: the id 'x'"))
    assert not (tmp_path / "m.index").exists()


async def test_files_that_say_nothing_make_no_index(tmp_path: Path, encoder: LocalEmbedder) -> None:
    (tmp_path / "a.md").write_text("\n")
    with pytest.raises(InputError, match="say nothing"):
        await build([str(tmp_path)], tmp_path / "m.index", embedder=encoder)


async def test_progress_counts_files_and_chunks(manual: Path, tmp_path: Path, encoder: LocalEmbedder) -> None:
    told: list[tuple[str, int, int]] = []
    await build(
        [str(manual)], tmp_path / "m.index", embedder=encoder, progress=lambda *step: told.append(step)
    )
    assert told[:3] == [("read", 1, 2), ("read", 2, 2), ("embed", 4, 4)]
    for stage in ("index", "write"):
        steps = [(done, total) for name, done, total in told if name == stage]
        assert steps == sorted(steps) and len(steps) == 2 and steps[-1] == (4, 4)


def settle(folder: Path) -> None:
    """Let the files be old enough that their times can be relied on."""
    for path in folder.iterdir():
        os.utime(path, (time.time() - 60, time.time() - 60))


async def test_a_file_that_looks_the_same_is_not_even_opened(
    manual: Path, tmp_path: Path, encoder: LocalEmbedder
) -> None:
    output = tmp_path / "m.index"
    settle(manual)
    await build([str(manual)], output, embedder=encoder)
    lamp = manual / "lamp.md"
    times = lamp.stat()
    lamp.write_bytes(b"\xff" * times.st_size)  # reading it would fail
    os.utime(lamp, ns=(times.st_atime_ns, times.st_mtime_ns))
    (manual / "kettle.txt").write_text("The kettle is blue.")
    built = await update(output, embedder=encoder)
    assert (built.read, built.embedded, built.info.files, built.info.chunks) == (1, 1, 2, 4)


async def test_a_file_that_only_looks_changed_is_not_read_again(
    manual: Path, tmp_path: Path, encoder: LocalEmbedder
) -> None:
    output = tmp_path / "m.index"
    await build([str(manual)], output, embedder=encoder)
    settle(manual)
    built = await update(output, embedder=encoder)
    assert (built.read, built.embedded) == (0, 0)
    before = output.stat().st_mtime_ns
    assert (await update(output, embedder=encoder)).read == 0
    assert output.stat().st_mtime_ns == before


async def test_a_change_within_the_clock_tick_of_a_build_is_seen(
    manual: Path, tmp_path: Path, encoder: LocalEmbedder
) -> None:
    output, kettle = tmp_path / "m.index", manual / "kettle.txt"
    kettle.write_text("red")
    times = kettle.stat()
    await build([str(manual)], output, embedder=encoder)
    kettle.write_text("tin")
    os.utime(kettle, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert (await update(output, embedder=encoder)).read == 1


async def test_an_updated_index_answers_like_one_built_anew(
    manual: Path, tmp_path: Path, encoder: LocalEmbedder
) -> None:
    output, anew = tmp_path / "m.index", tmp_path / "n.index"
    (manual / "fan.md").write_text("# Fan\n\nThe fan turns.\n\n## Clean\n\nWipe the lamp, not the fan.")
    await build([str(manual)], output, embedder=encoder)
    (manual / "fan.md").write_text("# Fan\n\nThe fan of the lamp turns slowly.")
    (manual / "kettle.txt").unlink()
    (manual / "oven.md").write_text("The oven and the lamp are hot.")
    await update(output, embedder=encoder)
    await build([str(manual)], anew, embedder=encoder)
    first, second = Index(output), Index(anew)
    for query in ("the lamp", "fan", "ランプの掃除", "wipe", "kettle"):
        for mode in ("keyword", "hybrid"):
            found, expected = (
                {
                    (d.id, d.content, round(d.score, 6))
                    for d in index.search(query, encoder.embed([query])[0], mode=mode, top_k=9)
                }
                for index in (first, second)
            )
            assert found == expected, (query, mode)
    first.close()
    second.close()


async def test_other_settings_read_everything_again_but_keep_the_vectors(
    manual: Path, tmp_path: Path, encoder: LocalEmbedder
) -> None:
    output = tmp_path / "m.index"
    await build([str(manual)], output, embedder=encoder)
    built = await build([str(manual)], output, embedder=encoder, size=200)
    assert (built.read, built.embedded, built.info.size) == (2, 0, 200)


async def test_an_id_that_a_file_left_alone_has_is_refused(tmp_path: Path, encoder: LocalEmbedder) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": "x", "content": "one"}')
    output = tmp_path / "m.index"
    await build([str(tmp_path)], output, embedder=encoder)
    (tmp_path / "b.jsonl").write_text('{"id": "x", "content": "two"}')
    with pytest.raises(InputError, match=r"b\.jsonl: the id 'x' is also in a\.jsonl"):
        await update(output, embedder=encoder)


async def test_an_index_moves_with_its_sources(
    manual: Path, tmp_path: Path, encoder: LocalEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "project"
    shutil.copytree(manual, folder / "manual")
    monkeypatch.chdir(folder)
    await build(["manual"], Path("out/m.index"), embedder=encoder)
    shutil.move(folder, tmp_path / "moved")
    built = await update(tmp_path / "moved" / "out" / "m.index", embedder=encoder)
    assert (built.read, built.info.files, built.info.sources) == (0, 2, ("../manual",))


async def test_a_build_cut_short_goes_on_where_it_was(
    tmp_path: Path, manual: Path, encoder: LocalEmbedder
) -> None:
    class Failing(Counting):
        def embed(self, texts: Sequence[str]) -> Any:
            if self.texts:
                raise RuntimeError("the line went dead")
            return super().embed(texts)

    rows = "\n".join(f'{{"content": "row {number}"}}' for number in range(100))
    (manual / "rows.jsonl").write_text(rows)
    first, second = Failing(encoder), Counting(encoder)
    with pytest.raises(RuntimeError):
        await build([str(manual)], tmp_path / "m.index", embedder=first)
    assert not (tmp_path / "m.index").exists()
    built = await build([str(manual)], tmp_path / "m.index", embedder=second)
    assert len(first.texts) == 64 and len(second.texts) == built.embedded == 40
    assert not set(first.texts) & set(second.texts)
    assert names_in(tmp_path) == {"m.index", "manual"}


_SLOW = """
    import asyncio, sys, time
    from pathlib import Path
    import numpy as np
    from promptflow_lite.retrieval.build import build

    class Slow:
        name, dimension = "slow", 2
        def embed(self, texts):
            print(len(texts), flush=True)
            time.sleep(float(sys.argv[3]))
            return np.array([[1.0, 0.0]] * len(texts), dtype=np.float32)

    built = asyncio.run(build([sys.argv[1]], Path(sys.argv[2]), embedder=Slow(), size=40, overlap=0))
    print("embedded", built.embedded)
"""


def building(source: Path, output: Path, seconds: float) -> subprocess.Popen[str]:
    script = [sys.executable, "-c", textwrap.dedent(_SLOW), str(source), str(output), str(seconds)]
    return subprocess.Popen(script, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("is_update", [False, True])
def test_a_killed_build_breaks_nothing_and_embeds_nothing_twice(tmp_path: Path, is_update: bool) -> None:
    rows, output = tmp_path / "rows.jsonl", tmp_path / "m.index"
    if is_update:
        rows.write_text('{"id": "old", "content": "the old row"}')
        assert "embedded 1\n" in building(rows, output, 0).communicate(timeout=60)[0]
    rows.write_text("\n".join(f'{{"id": "r{n}", "content": "row {n}"}}' for n in range(64 * 4)))
    killed = building(rows, output, 0.3)
    assert killed.stdout is not None
    batches = [killed.stdout.readline() for _ in range(3)]  # two are kept, the third is being made
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=60)
    assert batches == ["64\n"] * 3
    if is_update:
        index = Index(output)
        assert [found.id for found in index.search("old", mode="keyword")] == ["old"]
        index.close()
    said, _ = building(rows, output, 0).communicate(timeout=60)
    assert said == "64\n64\nembedded 128\n"
    index = Index(output)
    assert index.info.chunks == 256 and [d.id for d in index.search("255", mode="keyword")] == ["r255"]
    index.close()
    assert names_in(tmp_path) == {"rows.jsonl", "m.index"}


async def test_two_builds_of_one_index_do_not_mix(
    manual: Path, tmp_path: Path, encoder: LocalEmbedder
) -> None:
    class Meeting(Counting):
        async def embed(self, texts: Sequence[str]) -> Any:
            with pytest.raises(InputError) as caught:
                await build([str(manual)], tmp_path / "m.index", embedder=encoder)
            assert caught.value.code == "index-busy"
            return await asyncio.to_thread(super().embed, texts)

    built = await build([str(manual)], tmp_path / "m.index", embedder=Meeting(encoder))
    assert built.embedded == 4


async def test_delete_removes_what_a_build_cut_short_left(
    manual: Path, tmp_path: Path, encoder: LocalEmbedder
) -> None:
    class Failing(Counting):
        def embed(self, texts: Sequence[str]) -> Any:
            if self.texts:
                raise RuntimeError("the line went dead")
            return super().embed(texts)

    (manual / "rows.jsonl").write_text("\n".join(f'{{"content": "row {number}"}}' for number in range(100)))
    with pytest.raises(RuntimeError):
        await build([str(manual)], tmp_path / "m.index", embedder=Failing(encoder))
    assert len(names_in(tmp_path)) == 2
    delete(tmp_path / "m.index")
    assert names_in(tmp_path) == {"manual"}


async def test_every_citation_of_every_format_is_found_at_its_place(
    manual: Path, tmp_path: Path, encoder: LocalEmbedder
) -> None:
    long = "\n\n".join(f"## Part {n}\r\n\r\nSentence {n} is here. 文{n}はここです。" for n in range(9))
    (manual / "long.md").write_bytes(f"\ufeff# Long\r\n\r\n{long}".encode())
    (manual / "page.html").write_text(f"<title>P</title><h2>Old</h2><p>{'So it is. ' * 30}</p>")
    (manual / "rows.csv").write_text(f'id,text\nr1,"{"A row says. " * 20}"\n')
    (manual / "rows.jsonl").write_text('{"id": "r2", "content": "' + "Another says. " * 20 + '"}')
    await build([str(manual)], tmp_path / "m.index", embedder=encoder, size=20, overlap=5)
    texts = {text.id: text for file in find_files([str(manual)]).files for text in read_file(file)}
    index = Index(tmp_path / "m.index")
    vector = encoder.embed(["anything"])[0]
    found = index.search("", vector, mode="vector", top_k=1000)
    index.close()
    assert len(found) == index.info.chunks > 20
    assert {document.metadata["document"] for document in found} == set(texts)
    for document in found:
        where = document.metadata
        text = texts[where["document"]]
        assert text.content[where["start"] : where["end"]] == document.content
        if (heading := where.get("heading", "").rpartition(" > ")[2]) and not heading.startswith("Long"):
            assert heading in text.content[: where["end"]]
        if where["source"].endswith((".md", ".txt")):
            file = (manual / where["source"]).read_bytes().decode("utf-8-sig")
            assert file[where["start"] : where["end"]] == document.content
            assert where["line"] == file.count("\n", 0, where["start"]) + 1
        assert place_of(where).split()[0] == "line"


async def test_words_of_japanese_are_found_in_another_form(tmp_path: Path, encoder: LocalEmbedder) -> None:
    pytest.importorskip("sudachidict_small", reason="needs the extra ja")
    (tmp_path / "a.txt").write_text("テストをした。")
    output = tmp_path / "m.index"
    await build([str(tmp_path / "a.txt")], output, embedder=encoder)
    before = Index(output)
    built = await build([str(tmp_path / "a.txt")], output, embedder=encoder, tokenizer="sudachi")
    assert (built.read, built.embedded) == (1, 0)
    index = Index(output)
    assert before.search("する", mode="keyword") == []
    assert [found.id for found in index.search("する", mode="keyword")] == ["a.txt"]
    before.close()
    index.close()


async def test_an_index_cut_by_another_dictionary_is_refused_until_it_is_updated(
    manual: Path, tmp_path: Path, encoder: LocalEmbedder
) -> None:
    pytest.importorskip("sudachidict_small", reason="needs the extra ja")
    output = tmp_path / "m.index"
    info = (await build([str(manual)], output, embedder=encoder, tokenizer="sudachi")).info
    with closing(sqlite3.connect(output)) as connection, connection:
        connection.execute(
            "update meta set value = json_set(value, '$.tokenizer', ?)", (f"{info.tokenizer}0",)
        )
    index = Index(output)
    with pytest.raises(InputError) as caught:
        IndexRetriever(index, encoder)
    assert caught.value.code == "index-tokenizer"
    index.close()
    built = await update(output, embedder=encoder)
    assert (built.read, built.embedded, built.info.tokenizer) == (2, 0, info.tokenizer)
