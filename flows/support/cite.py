import re
import unicodedata

from promptflow.core import tool

from promptflow_lite.retrieval.tokenize import query_terms, terms

NOT_SAID = {
    "en": "The manual does not say. If you like, I can hand you over to a colleague.",
    "ja": "説明書には書かれていません。よろしければ、担当者におつなぎします。",
}
FIGURE = re.compile(r"\d+(?:[.,]\d+)*")
SENTENCE = re.compile(r".+?(?:[。！？]+|[.!?]+(?=\s|$)|$)", re.DOTALL)
CITATION = re.compile(r"\s*\[\d+\]")


@tool
def cite(answer: str, passages: list, question: str, language: str, least: float) -> dict:
    """The answer with the number of the passage behind each sentence, or that the manual does not say.

    A small model makes things up and cites at random. So an answer is thrown away if one of its figures is
    neither in the passages nor in the question, or if less than the share `least` of its words stands in the
    passages. Citations are set here: the passage that shares most words with a sentence.
    """
    context = "\n\n".join(f"{passage['heading']}\n{passage['text']}" for passage in passages)
    plain = CITATION.sub("", answer or "").strip()
    if not plain or figures(plain) - figures(context + question) or supported(plain, context) < least:
        return {"answer": NOT_SAID[language], "sources": [], "citations": [], "context": context}
    cited: list[int] = []
    sentences = []
    for sentence in SENTENCE.findall(plain):
        best = max(range(len(passages)), key=lambda i: shared(sentence, passages[i]))
        if best not in cited:
            cited.append(best)
        sentences.append(f"{sentence.strip()} [{cited.index(best) + 1}]")
    sources = [passages[i]["source"] for i in cited]
    citations = [{"number": number, **passages[i]} for number, i in enumerate(cited, start=1)]
    return {"answer": " ".join(sentences), "sources": sources, "citations": citations, "context": context}


def figures(text: str) -> set:
    return set(FIGURE.findall(unicodedata.normalize("NFKC", text)))


def supported(text: str, context: str) -> float:
    """The share of the text's words that stand in the context."""
    words = set(query_terms(text))
    return len(words & set(terms(context))) / len(words) if words else 0.0


def shared(sentence: str, passage: dict) -> int:
    """How many words of the sentence stand in the passage."""
    return len(set(query_terms(sentence)) & set(terms(f"{passage['heading']} {passage['text']}")))
