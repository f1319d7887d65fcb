"""What does the endpoint take and give, for people? `/docs` as plain HTML: no script, no network."""

from __future__ import annotations

import html
import json
import shlex
from collections.abc import Callable, Mapping
from typing import Any

from promptflow_lite.serving.call import Call, Receive, Scope, Send
from promptflow_lite.serving.reply import send as reply

__all__ = ["Docs"]

_POLICY = (
    b"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    b"frame-ancestors 'none'"
)
_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem; }
pre { padding: .75rem 1rem; overflow-x: auto; border: 1px solid #8886; border-radius: .4rem; }
table { border-collapse: collapse; }
th, td { text-align: left; padding: .2rem 1rem .2rem 0; vertical-align: top; }
code { font-family: ui-monospace, monospace; font-size: .9em; }
"""

Document = Mapping[str, Any]


class Docs:
    """The ASGI application of `/docs`: how to call the flow, then every operation with its schemas.

    Args:
        document: gives the endpoint's OpenAPI document.
    """

    def __init__(self, document: Callable[[], Document]) -> None:
        self._document = document

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        document = self._document()
        body = _page(
            document["info"]["title"],
            *_overview(document, _base(scope, Call.of(scope))),
            *_operations(document),
        )
        await reply(
            send, 200, body.encode(), b"text/html; charset=utf-8", [(b"content-security-policy", _POLICY)]
        )


def _base(scope: Scope, call: Call) -> str:
    host = call.headers.get(b"host", b"localhost").decode("latin-1")
    return f"{scope.get('scheme', 'http')}://{host}{scope.get('root_path', '')}"


def _page(title: str, *parts: str) -> str:
    meta = "<meta charset=utf-8><meta name=viewport content='width=device-width'>"
    head = f"<head>{meta}<title>{html.escape(title)}</title><style>{_STYLE}</style></head>"
    return f"<!doctype html><html lang=en>{head}<body>{''.join(parts)}</body></html>"


def _pre(text: str) -> str:
    return f"<pre><code>{html.escape(text)}</code></pre>"


def _overview(document: Document, base: str) -> list[str]:
    """What a first call needs."""
    info = document["info"]
    example = document["components"]["schemas"]["Inputs"].get("example", {})
    parts = [f"<h1>{html.escape(info['title'])}</h1>"]
    if "description" in info:
        parts.append(f"<p>{html.escape(info['description'])}</p>")
    parts += ["<h2>Inputs</h2>", _table(document["components"]["schemas"]["Inputs"])]
    parts += ["<h2>Outputs</h2>", _table(document["components"]["schemas"]["Outputs"])]
    parts += ["<h2>curl</h2>", _pre(_curl(base, example)), "<h2>Python</h2>", _pre(_python(base, example))]
    if "/v1/chat/completions" in document["paths"]:
        parts += ["<h2>OpenAI clients</h2>", _pre(_openai(base, document))]
    return parts


def _operations(document: Document) -> list[str]:
    parts = ["<h2>All paths</h2><p>The same as JSON: <a href='./swagger.json'>/swagger.json</a></p>"]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            parts.append(f"<h3><code>{method.upper()} {html.escape(path)}</code></h3>")
            parts.append(f"<p>{html.escape(operation['summary'])}</p>")
            body = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if body is not None:
                parts += ["<p>Takes</p>", _schema(body["schema"], document)]
            rows = [
                f"<tr><td>{code}<td>{html.escape(answer['description'])}"
                for code, answer in operation["responses"].items()
            ]
            parts += ["<p>Answers</p><table>", *rows, "</table>"]
            answer = operation["responses"]["200"]["content"].get("application/json")
            if answer is not None:
                parts.append(_schema(answer["schema"], document))
    return parts


def _schema(schema: Document, document: Document) -> str:
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    return _pre(json.dumps(document["components"]["schemas"].get(name, schema), indent=2, ensure_ascii=False))


def _table(schema: Document) -> str:
    required = schema.get("required", ())
    rows = []
    for name, field in schema.get("properties", {}).items():
        kind = field.get("type", field.get("title", ""))
        asked = "required" if name in required else ""
        if "default" in field:
            asked = f"default {json.dumps(field['default'], ensure_ascii=False)[:100]}"
        cells = (
            f"<code>{html.escape(name)}</code>",
            html.escape(kind),
            html.escape(asked),
            html.escape(field.get("description", "")),
        )
        rows.append(f"<tr><td>{'<td>'.join(cells)}")
    return f"<table>{''.join(rows)}</table>" if rows else "<p>none</p>"


def _curl(base: str, example: Any) -> str:
    body = shlex.quote(json.dumps(example, ensure_ascii=False))
    return f"curl {shlex.quote(base + '/score')} -H 'content-type: application/json' \\\n  -d {body}"


def _python(base: str, example: Any) -> str:
    return (
        "import json\nfrom urllib.request import Request, urlopen\n\n"
        f"inputs = {example!r}\n"
        "headers = {'content-type': 'application/json'}\n"
        f"request = Request({base + '/score'!r}, json.dumps(inputs).encode(), headers)\n"
        "print(json.load(urlopen(request)))"
    )


def _openai(base: str, document: Document) -> str:
    model = document["paths"]["/v1/chat/completions"]["post"]["x-model"]
    return (
        "from openai import OpenAI\n\n"
        f"client = OpenAI(base_url={base + '/v1'!r}, api_key='none')\n"
        "for part in client.chat.completions.create(\n"
        f"    model={model!r}, messages=[{{'role': 'user', 'content': 'Hello'}}], stream=True\n"
        "):\n"
        "    print(part.choices[0].delta.content or '', end='')"
    )
