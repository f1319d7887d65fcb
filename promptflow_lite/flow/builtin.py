"""Which tools does Prompt flow bring along? Their ids, for nodes whose source is a package.

Prompt flow: promptflow-tools 1.6 (`pf tool list`), and the ids of packages that came before it.
"""

from __future__ import annotations

from promptflow_lite.errors import near_miss

__all__ = ["BUILT_IN", "EMBEDDING", "MODULES", "PROVIDERS", "REFUSED", "unknown_built_in"]

BUILT_IN = frozenset(
    {
        "embedding",
        "promptflow.tools.aoai.AzureOpenAI.chat",
        "promptflow.tools.aoai.AzureOpenAI.completion",
        "promptflow.tools.aoai.chat",
        "promptflow.tools.aoai.completion",
        "promptflow.tools.aoai_gpt4v.AzureOpenAI.chat",
        "promptflow.tools.azure_content_safety.analyze_text",
        "promptflow.tools.embedding.embedding",
        "promptflow.tools.llm.llm",
        "promptflow.tools.llm_vision.llm_vision",
        "promptflow.tools.openai.OpenAI.chat",
        "promptflow.tools.openai.OpenAI.completion",
        "promptflow.tools.openai.chat",
        "promptflow.tools.openai.completion",
        "promptflow.tools.openai_gpt4v.OpenAI.chat",
        "promptflow.tools.serpapi.SerpAPI.search",
        "promptflow.tools.serpapi.search",
        "promptflow.tools.template_rendering.render_template_jinja2",
    }
)
"""Those that run here."""

EMBEDDING = frozenset({"embedding", "llm.embedding", "promptflow.tools.embedding.embedding"})
"""Those that make a vector of a text; the second is what the first and the third are here."""

REFUSED = {
    "promptflow.tools.open_model_llm": "use an llm node with a serverless connection, or an open_ai one "
    "whose base_url is the endpoint's",
    "promptflow.tools.azure_translator": "call the service from a python node",
    "promptflow.tools.azure_form_recognizer": "call the service from a python node",
    "promptflow.tools.azure_detect": "call the service from a python node",
    "promptflow.tools.faiss_index_lookup": "use a retrieval node",
    "promptflow.tools.vector_db_lookup": "use a retrieval node",
    "promptflow.tools.vector_index_lookup": "use a retrieval node",
    "promptflow_vectordb": "use a retrieval node",
    "promptflow_rag": "use a retrieval node",
}
"""By how an id begins: what to use in place of a tool that does not run here."""

MODULES = frozenset(
    f"promptflow.tools.{name}"
    for name in ("aoai", "openai", "llm", "aoai_gpt4v", "openai_gpt4v", "llm_vision", "embedding", "serpapi")
)
"""What the key `module` of an llm node may say; it changes nothing, since the connection decides."""

PROVIDERS = ("AzureOpenAI", "OpenAI", "Serverless", "AzureAIServices")
"""What its key `provider` may say; that changes nothing either."""


def unknown_built_in(tool_id: str) -> tuple[str, str, str | None] | None:
    """Code, message and hint for an id that should be one of Prompt flow's tools and is none that runs here.

    `None` for an id that is fine, or another package's.
    """
    refused = next((why for prefix, why in REFUSED.items() if tool_id.startswith(prefix)), None)
    if refused is not None:
        return "tool-not-supported", f"the tool {tool_id!r} is not part of promptflow_lite", refused
    if not tool_id.startswith("promptflow.tools.") or tool_id in BUILT_IN:
        return None
    hint = near_miss(tool_id, BUILT_IN) or "'pf tool list' shows those that exist"
    return "unknown-tool", f"Prompt flow has no tool {tool_id!r}", hint
