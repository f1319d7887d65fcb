"""`promptflow.tools`: the built-in tools, for code that calls them and for nodes that name them."""

from promptflow_lite.compat._missing import names_of

__getattr__ = names_of(
    "promptflow.tools",
    {
        "AzureOpenAI": "promptflow_lite.compat.tools.aoai:AzureOpenAI",
        "OpenAI": "promptflow_lite.compat.tools.openai:OpenAI",
        "SerpAPI": "promptflow_lite.compat.tools.serpapi:SerpAPI",
    },
)
