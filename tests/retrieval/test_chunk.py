from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptflow_lite.retrieval.chunk import Chunk, chunk
from promptflow_lite.retrieval.read import Text
from promptflow_lite.retrieval.tokenize import pieces

PROSE = st.text(alphabet="ab 。、.!?\n\r#-|`漢字かな\t", max_size=400)


def cut(content: str, *, markdown: bool = True, size: int = 300, overlap: int = 0) -> list[Chunk]:
    return chunk(Text(content, "a.md", markdown=markdown), size=size, overlap=overlap)


def test_a_heading_starts_a_chunk_and_names_those_below_it() -> None:
    text = "# Lamp\n\nFor desks.\n\n## Reset\n\nHold it.\n\n### Twice\n\nAgain.\n\n## Care\n\nWipe it.\n"
    assert [(c.content.split("\n")[0], c.heading) for c in cut(text)] == [
        ("# Lamp", ("Lamp",)),
        ("## Reset", ("Lamp", "Reset")),
        ("### Twice", ("Lamp", "Reset", "Twice")),
        ("## Care", ("Lamp", "Care")),
    ]


def test_a_heading_in_a_code_block_is_code() -> None:
    assert [c.heading for c in cut("# A\n\n```\n# not a heading\n```\n\ntext")] == [("A",)]


def test_a_heading_with_nothing_below_it_makes_no_chunk_but_still_names() -> None:
    assert [(c.content, c.heading) for c in cut("# A\n\n## B\n\ntext")] == [("## B\n\ntext", ("A", "B"))]


def test_front_matter_is_left_out_and_positions_count_it() -> None:
    text = "---\ntags: [x]\n---\nHello there."
    assert cut(text) == [Chunk("Hello there.", 18, 30)]


def test_plain_text_has_no_headings() -> None:
    assert cut("# not a heading\ntext", markdown=False) == [Chunk("# not a heading\ntext", 0, 20)]


def test_long_text_is_cut_between_sentences() -> None:
    found = cut("One two three. Four five six. Seven eight nine.", size=6)
    assert [c.content for c in found] == ["One two three. Four five six.", "Seven eight nine."]


def test_japanese_is_cut_after_its_full_stops_and_closing_brackets() -> None:
    found = cut("「止まった。」と言う。次の文です！最後か？", size=11)
    assert [c.content for c in found] == ["「止まった。」と言う。", "次の文です！最後か？"]


def test_overlap_repeats_whole_sentences() -> None:
    found = cut("One two. Three four. Five six. Seven eight.", size=4, overlap=2)
    assert [c.content for c in found] == [
        "One two. Three four.",
        "Three four. Five six.",
        "Five six. Seven eight.",
    ]


def test_a_sentence_longer_than_the_size_is_cut() -> None:
    assert [c.content for c in cut("a b c d e", size=2)] == ["a b", "c d", "e"]


def test_a_size_below_the_overlap_is_refused() -> None:
    with pytest.raises(ValueError, match="size 5 and overlap 5"):
        cut("a", size=5, overlap=5)


def test_an_overlap_that_leaves_no_room_for_the_next_sentence_makes_no_passage_of_its_own() -> None:
    found = cut("a. b c d. e f g.", markdown=False, size=4, overlap=3)
    assert [c.content for c in found] == ["a. b c d.", "e f g."]


@given(PROSE, st.booleans(), st.integers(1, 30), st.data())
def test_chunks_are_what_stands_at_their_positions_and_fit_the_size(
    text: str, markdown: bool, size: int, data: st.DataObject
) -> None:
    overlap = data.draw(st.integers(0, size - 1))
    found = cut(text, markdown=markdown, size=size, overlap=overlap)
    assert all(c.content == text[c.start : c.end] == c.content.strip() != "" for c in found)
    assert all(len(list(pieces(c.content))) <= size for c in found)
    assert all(a.start < b.start and a.end < b.end for a, b in pairwise(found))


@given(PROSE, st.integers(1, 30))
def test_nothing_of_a_plain_text_is_lost(text: str, size: int) -> None:
    kept = {i for c in cut(text, markdown=False, size=size) for i in range(c.start, c.end)}
    assert all(i in kept for i, character in enumerate(text) if not character.isspace())
