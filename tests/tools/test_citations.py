from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptflow_lite.engine.line import run_line
from promptflow_lite.errors import InputError
from promptflow_lite.retrieval.document import Document
from promptflow_lite.tools.bind import bind
from promptflow_lite.tools.citations import Citation, citations
from promptflow_lite.values import to_plain
from tests.strategies import NoConnections
from tests.tools.flows import folder

RESET = Document(
    "## Reset\n\nHold the button for ten seconds. The lamp blinks twice.",
    "lamp#1",
    metadata={"source": "lamp.md", "heading": "Lamp > Reset", "start": 100, "line": 9},
)
CARE = Document(
    "電源を切ってから、やわらかい布で拭きます。水は使いません。", "care", metadata={"source": "care.md"}
)


def test_a_mark_becomes_a_citation_with_quote_and_place() -> None:
    cited = citations("Suddenly the lamp blinks twice [1].", [RESET, CARE])
    assert cited.citations == [
        Citation(
            number=1,
            at=31,
            claim="Suddenly the lamp blinks twice.",
            id="lamp#1",
            source="lamp.md",
            heading="Lamp > Reset",
            place="line 9",
            quote="The lamp blinks twice.",
            start=143,
            end=165,
            support=0.75,
        )
    ]
    assert RESET.content[143 - 100 : 165 - 100] == "The lamp blinks twice."


@pytest.mark.parametrize(
    ("answer", "shown", "numbers", "unknown"),
    [
        ("a [1] b [2].", "a [1] b [2].", [1, 2], 0),
        ("拭きます［１］。", "拭きます[1]。", [1], 0),
        ("a【1】", "a[1]", [1], 0),
        ("a [1, 2].", "a [1][2].", [1, 2], 0),
        ("a [1-2]", "a [1][2]", [1, 2], 0),
        ("a [1、２]", "a [1][2]", [1, 2], 0),
        ("a [3].", "a.", [], 1),
        ("a [0] b [1, 9] c", "a b [1] c", [1], 2),
        ("a [1-9999]", "a [1]", [1], 1),
        ("a [1](http://x) [x] [] b[12345]", "a [1](http://x) [x] [] b[12345]", [], 0),
        ("no marks", "no marks", [], 0),
        ("", "", [], 0),
    ],
)
def test_marks_are_read_made_alike_and_checked(
    answer: str, shown: str, numbers: list[int], unknown: int
) -> None:
    cited = citations(answer, [RESET, CARE])
    assert cited.answer == shown
    assert [one.number for one in cited.citations] == numbers
    assert [shown[one.at : one.at + 3] for one in cited.citations] == [f"[{n}]" for n in numbers]
    assert cited.unknown == unknown


@pytest.mark.parametrize(
    ("answer", "claims"),
    [
        ("One thing. Another [1]. A third.", ["Another."]),
        ("One thing. [1] Another.", ["One thing."]),
        ("[1] One thing. Another.", ["One thing."]),
        ("- [1] One\n- [2] Two", ["One", "Two"]),
        ("- One [1]\n- Two [2]", ["One", "Two"]),
        ("布で拭きます。水は使いません[1]。", ["水は使いません。"]),
        ("布で拭きます。［1］水は使いません。", ["布で拭きます。"]),
    ],
)
def test_a_mark_stands_for_its_sentence(answer: str, claims: list[str]) -> None:
    assert [one.claim for one in citations(answer, [RESET, CARE]).citations] == claims


def test_a_quote_is_found_in_japanese_and_has_no_place_where_the_document_has_none() -> None:
    [found] = citations("水を使ってはいけません［１］。", [CARE]).citations
    assert (found.quote, found.start, found.end) == ("水は使いません。", None, None)


def test_support_tells_a_claim_that_its_document_does_not_make() -> None:
    [right, wrong] = citations("The lamp blinks [1]. The kettle whistles [1].", [RESET]).citations
    assert (right.support, wrong.support) == (1.0, 0.0)


def test_what_has_no_content_is_refused() -> None:
    with pytest.raises(InputError, match="number 2 has no content"):
        citations("a [1]", [RESET, {"text": "x"}])


FLOW = """\
inputs:
  answer: {type: string, default: "It blinks twice [1]. Nothing else [4]."}
outputs:
  cited: {type: object, reference: "${cite.output}"}
  unknown: {type: int, reference: "${cite.output.unknown}"}
nodes:
- name: cite
  type: tool
  source: {type: package, tool: promptflow_lite.citations}
  inputs:
    answer: ${inputs.answer}
    documents: [{id: a, content: The lamp blinks twice., metadata: {source: lamp.md, start: 5}}]
"""


async def test_a_node_cites(tmp_path: Path) -> None:
    result = await run_line(bind(folder(tmp_path, FLOW), NoConnections()), {})
    assert result.outputs["unknown"] == 1, result.error
    cited: Any = to_plain(result.outputs["cited"])
    assert cited["answer"] == "It blinks twice [1]. Nothing else."
    assert (cited["citations"][0]["source"], cited["citations"][0]["start"]) == ("lamp.md", 5)


@given(st.text(alphabet="ab [1]［２】,-。.\n0"), st.integers(0, 3))
def test_citations_always_point_at_marks_and_documents(answer: str, count: int) -> None:
    cited = citations(answer, ["a. b."] * count)
    for one in cited.citations:
        assert cited.answer[one.at :].startswith(f"[{one.number}]")
        assert 1 <= one.number <= count
        assert one.quote in "a. b."


@pytest.mark.parametrize(
    "text", ["[" * 100_000, " " * 100_000, "[1" + " ,1" * 50_000, "." * 100_000, "a [1]. " * 20_000]
)
def test_endless_answers_are_read_in_a_moment(text: str) -> None:
    started = time.process_time()
    citations(text, [RESET])
    assert time.process_time() - started < 2  # of minutes
