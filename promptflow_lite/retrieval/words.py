"""Which passages hold the words of a query? BM25 over arrays that stay in memory.

The score is Lucene's: the sum, over the words of the query, of idf * tf / (tf + k1 (1 - b + b length / mean
length)), where idf = log(1 + (N - n + 0.5) / (n + 0.5)). All but the sum is worked out when an index is
opened, as bm25s does (Lu 2024, "BM25S: Orders of magnitude faster lexical search via eager sparse scoring").
Passages are numbered by row: their place in the order of the index. Why not by bm25s: docs/decisions/008.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from promptflow_lite.retrieval.embed import Vectors

__all__ = ["Postings", "Words", "postings_of"]

_K1 = 1.2
_B = 0.75
_MOST = 65_535
"""How often a word counts in one passage at most."""


class Postings(NamedTuple):
    """Which passages hold each word, and how often."""

    vocabulary: list[str]
    starts: Any
    """Where each word's postings start, and where the last one's end: int64, shape (words + 1,)."""
    rows: Any
    """The passages that hold it, in order, word after word: int32."""
    counts: Any
    """How often each does: uint16."""
    lengths: Any
    """The words of each passage: int32, shape (passages,)."""

    def to_blobs(self) -> dict[str, bytes]:
        """The postings as they are kept; `of_blobs` reads them."""
        arrays = {name: getattr(self, name).tobytes() for name in _TYPES}
        return {"vocabulary": "\n".join(self.vocabulary).encode("utf-8", "surrogatepass"), **arrays}

    @classmethod
    def of_blobs(cls, blobs: Mapping[str, bytes]) -> Postings:
        """The postings that `to_blobs` wrote."""
        import numpy as np  # noqa: PLC0415  # heavy: first use

        text = blobs["vocabulary"].decode("utf-8", "surrogatepass")
        arrays = {name: np.frombuffer(blobs[name], kind) for name, kind in _TYPES.items()}
        return cls(text.split("\n") if text else [], **arrays)


_TYPES = {"starts": "<i8", "rows": "<i4", "counts": "<u2", "lengths": "<i4"}


def postings_of(
    passages: Iterable[Sequence[str]], *, base: Postings | None = None, kept: Any = None
) -> Postings:
    """The postings of an index: of the passages of an older one that stay, then of new ones.

    Args:
        passages: the words of each new passage.
        base: the older postings.
        kept: which of its passages stay: booleans, shape (passages of `base`,).
    """
    import numpy as np  # noqa: PLC0415  # heavy: first use

    vocabulary = list(base.vocabulary) if base is not None else []
    numbers: defaultdict[str, int] = defaultdict(None, ((word, n) for n, word in enumerate(vocabulary)))
    numbers.default_factory = numbers.__len__  # a new word gets the next number
    word_of, count_of, lengths, different = array("i"), array("H"), array("i"), array("i")
    for said in passages:
        each = Counter(said)
        word_of.extend(map(numbers.__getitem__, each))
        few = len(said) <= _MOST  # as nearly always
        count_of.extend(each.values() if few else (min(count, _MOST) for count in each.values()))
        lengths.append(len(said))
        different.append(len(each))
    words, counts, sizes = (np.frombuffer(of, of.typecode) for of in (word_of, count_of, lengths))
    first = int(kept.sum()) if base is not None else 0
    rows = np.repeat(np.arange(first, first + len(lengths), dtype=np.int32), different)
    if base is not None:
        stays = kept[base.rows]
        moved = np.cumsum(kept, dtype=np.int32) - 1
        before = np.repeat(np.arange(len(vocabulary), dtype=np.int32), np.diff(base.starts))
        words = np.concatenate([before[stays], words])
        rows = np.concatenate([moved[base.rows[stays]], rows])
        counts = np.concatenate([base.counts[stays], counts])
        sizes = np.concatenate([base.lengths[kept], sizes])
    having = np.bincount(words, minlength=len(numbers))
    named = [word for word, number in numbers.items() if having[number]]
    starts = np.concatenate([[0], np.cumsum(having[having > 0])])
    return Postings(
        named,
        starts.astype(_TYPES["starts"]),
        *_by_word(words, rows, counts, having),
        sizes.astype(_TYPES["lengths"]),
    )


_BLOCK = 200_000
"""Postings sorted at once: sorting all 10 million of 100,000 passages would take 200 MB more."""


def _by_word(words: Any, rows: Any, counts: Any, having: Any) -> tuple[Any, Any]:
    """The rows and counts of all postings, word after word; those of one word stay in their order.

    Args:
        words: of each posting, its word's number.
        rows: its passage.
        counts: how often the word is there.
        having: how many postings each word has.
    """
    import numpy as np  # noqa: PLC0415  # heavy: first use

    sorted_rows = np.empty(len(words), _TYPES["rows"])
    sorted_counts = np.empty(len(words), _TYPES["counts"])
    free = np.cumsum(having) - having  # of each word, where its next posting goes
    for start in range(0, len(words), _BLOCK):
        block = slice(start, start + _BLOCK)
        order = np.argsort(words[block], kind="stable")
        its = words[block][order]
        here = np.bincount(its, minlength=len(having))
        places = np.arange(len(its)) + (free - (np.cumsum(here) - here))[its]
        sorted_rows[places] = rows[block][order]
        sorted_counts[places] = counts[block][order]
        free += here
    return sorted_rows, sorted_counts


class Words:
    """Finds passages by their words.

    Args:
        postings: of the index.
    """

    def __init__(self, postings: Postings) -> None:
        import numpy as np  # noqa: PLC0415  # heavy: first use

        lengths = postings.lengths
        having = np.diff(postings.starts)
        self._passages = len(lengths)
        self._numbers = {word: number for number, word in enumerate(postings.vocabulary)}
        self._starts = postings.starts.tolist()
        self._rows = postings.rows
        idf = np.log1p((self._passages - having + 0.5) / (having + 0.5))
        damping = (_K1 * (1 - _B + _B * lengths / max(lengths.mean(), 1e-9))).astype(np.float32)
        weights = postings.counts.astype(np.float32)
        weights /= weights + damping[postings.rows]
        weights *= np.repeat(idf.astype(np.float32), having)
        self._weights = weights
        self._idf = idf.tolist()
        self._idf_of_none = float(np.log1p((self._passages + 0.5) / 0.5))

    def scores(self, words: Sequence[str]) -> Vectors:
        """The score of every passage, 0 where it holds none of `words`: float32, shape (passages,)."""
        import numpy as np  # noqa: PLC0415  # heavy: first use

        total = np.zeros(self._passages, dtype=np.float32)
        starts, rows, weights = self._starts, self._rows, self._weights
        for word in words:
            number = self._numbers.get(word)
            if number is not None:
                its = slice(starts[number], starts[number + 1])
                np.add.at(total, rows[its], weights[its])
        return total

    def greatest(self, words: Sequence[str]) -> float:
        """What no passage's score exceeds: every word, endlessly often."""
        numbers = (self._numbers.get(word) for word in words)
        return sum(self._idf_of_none if number is None else self._idf[number] for number in numbers) or 1.0
