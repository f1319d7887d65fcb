from promptflow.core import tool

from promptflow_lite.retrieval.document import Document
from promptflow_lite.retrieval.tokenize import query_terms, terms

MOST = 2
WITHIN = 0.15


@tool
def select_passages(documents: list, query: str, language: str, least: float) -> dict:
    """The passages to show to the model, and whether they say enough to ask it at all.

    A small model answers whatever it is asked. So the question is weighed first: the similarity of the best
    passage plus the share of the question's words that stand in the passages must reach `least`.
    """
    own = [document for document in documents if document.metadata["source"].startswith(f"{language}/")]
    near = [document for document in own if document.score >= own[0].score - WITHIN][:MOST]
    wanted = set(query_terms(query))
    found = {term for document in near for term in terms(document.content)}
    weight = near[0].score + len(wanted & found) / len(wanted) if near and wanted else 0.0
    return {
        "passages": [as_passage(document) for document in near],
        "enough": weight >= least,
        "weight": weight,
    }


def as_passage(document: Document) -> dict:
    """A passage as plain data, without the heading's mark."""
    heading = document.metadata["heading"].split(" > ")[-1]
    text = document.content.removeprefix(f"## {heading}").strip()
    return {"source": f"{document.metadata['source']}#{heading}", "heading": heading, "text": text}
