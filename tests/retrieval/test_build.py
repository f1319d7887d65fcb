from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from promptflow_lite.errors import InputError
from promptflow_lite.retrieval.build import build
from promptflow_lite.retrieval.embed import LocalEmbedder
from promptflow_lite.retrieval.index import Index


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
    assert told == [("read", 1, 2), ("read", 2, 2), ("embed", 4, 4)]
