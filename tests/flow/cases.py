"""One small flow for each complaint of load and check: the files, and where the complaint points.

A comment `# CODE` in a file marks the line that the complaint is about; `# CODE warning` says its severity.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from pathlib import Path

TOOL = "from promptflow.core import tool\n\n\n@tool\ndef run(x=None):\n    return x\n"


@dataclass(frozen=True)
class Case:
    """A flow that earns one complaint."""

    dag: str
    files: dict[str, str] = field(default_factory=dict)
    connections: tuple[str, ...] | None = None

    def write(self, folder: Path) -> Path:
        """The flow file, written with what stands beside it."""
        files = {"run.py": TOOL, "ask.jinja2": "user:\n{{ q }}\n", **self.files}
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        path = folder / "flow.dag.yaml"
        path.write_text(textwrap.dedent(self.dag), encoding="utf-8")
        return path


NODE = "- {name: n, type: python, source: {type: code, path: run.py}}\n"
LINE = "{type: python, source: {type: code, path: run.py}, "


def dag(body: str, output: str = "n") -> str:
    """A flow file of these nodes and this output."""
    head = f'outputs: {{y: {{type: string, reference: "${{{output}.output}}"}}}}\n' if output else ""
    return head + body


READING = {
    "empty-file": Case("# empty-file\n"),
    "duplicate-key": Case("name: a\nname: b  # duplicate-key\nnodes:\n" + NODE),
    "yaml-tag": Case("name: !x a  # yaml-tag\n"),
    "yaml-limit": Case(f"name: {'[' * 70}  # yaml-limit\n"),
    "yaml-syntax": Case("name: {a: ${inputs.a}}  # yaml-syntax\n"),
    "unknown-key": Case(
        "nodes:\n- name: n\n  type: python\n  source: {type: code, path: run.py}\n"
        "  coment: x  # unknown-key\n"
    ),
    "missing-key": Case("inputs:\n  x: {default: 1}  # missing-key\nnodes: []\n"),
    "wrong-type": Case("inputs:\n  x:\n    type: strin  # wrong-type\nnodes: []\n"),
    "bad-reference": Case(
        "outputs:\n  y:\n    type: string\n    reference: ${n.outpt}  # bad-reference\nnodes: []\n"
    ),
    "forbidden-variable": Case("environment_variables:\n  LD_PRELOAD: x  # forbidden-variable\nnodes: []\n"),
    "node-without-type": Case(
        "nodes:\n- name: n  # node-without-type\n  source: {type: code, path: run.py}\n"
    ),
    "not-supported": Case("nodes:\n- name: n\n  type: csharp  # not-supported\n"),
}
"""Complaints of `load_flow`."""

CHECKING = {
    "unknown-variant": Case(
        """\
        outputs: {y: {type: string, reference: "${n.output}"}}
        nodes:
        - {name: n, type: python, use_variants: true}
        node_variants:
          n:
            default_variant_id: v1  # unknown-variant
            variants:
              v0: {node: {type: python, source: {type: code, path: run.py}}}
        """
    ),
    "duplicate-node": Case(dag(f"nodes:\n{NODE}{NODE.strip()}  # duplicate-node\n")),
    "reserved-name": Case(
        f"nodes:\n- {LINE}name: inputs}}  # reserved-name # unused-node warning\n"
        f"outputs:\n  y: {{type: string, reference: '${{inputs.output}}'}}\n"
        f"inputs: {{output: {{type: string}}}}\n"
    ),
    "bad-name": Case(dag(f"nodes:\n- {LINE}name: ../n}}  # bad-name # unused-node warning\n", "")),
    "unknown-node": Case(
        dag(
            f"nodes:\n{NODE.strip()}  # unused-node warning\n"
            "outputs: {y: {type: int, reference: '${m}'}}  # unknown-node\n",
            "",
        )
    ),
    "unknown-input": Case(
        dag("nodes:\n" + f"- {LINE}name: n, inputs: {{x: '${{inputs.z}}'}}}}  # unknown-input\n")
    ),
    "cycle": Case(
        dag(
            f"nodes:\n- {LINE}name: n, inputs: {{x: '${{m}}'}}}}  # cycle\n"
            f"- {LINE}name: m, inputs: {{x: '${{n}}'}}}}\n"
        )
    ),
    "line-reads-aggregation": Case(
        dag(
            f"nodes:\n- {LINE}name: a, aggregation: true}}\n"
            f"- {LINE}name: n, inputs: {{x: '${{a.output}}'}}}}  # line-reads-aggregation\n"
        )
    ),
    "aggregation-activate": Case(
        dag(
            f"nodes:\n{NODE}- {LINE}name: a, aggregation: true, "
            "activate: {when: '${n.output}', is: 1}}  # aggregation-activate\n"
        )
    ),
    "include-not-found": Case(
        dag(f"additional_includes: [../nothing.py]  # include-not-found\nnodes:\n{NODE}")
    ),
    "missing-source": Case(dag("nodes:\n- {name: n, type: python}  # missing-source\n")),
    "source-not-found": Case(
        dag("nodes:\n- {name: n, type: python, source: {type: code, path: rum.py}}  # source-not-found\n")
    ),
    "bad-prompt-uri": Case(
        dag("nodes:\n- {name: n, type: prompt, source: {type: code, path: 'prompts:/q'}}  # bad-prompt-uri\n")
    ),
    "path-outside-flow": Case(
        dag("nodes:\n- {name: n, type: python, source: {type: code, path: ../run.py}}  # path-outside-flow\n")
    ),
    "unreadable-file": Case(dag(f"nodes:\n{NODE}"), {"run.py": "# unreadable-file \ud800"}),
    "unknown-connection": Case(
        dag(
            "nodes:\n- name: n\n  type: llm\n  source: {type: code, path: ask.jinja2}\n"
            "  connection: azuer  # unknown-connection\n  inputs: {q: hi}\n"
        ),
        connections=("azure",),
    ),
    "unknown-api": Case(
        dag(
            "nodes:\n- name: n\n  type: llm\n  source: {type: code, path: ask.jinja2}\n"
            "  api: chatt  # unknown-api\n  inputs: {q: hi}\n"
        )
    ),
    "unknown-module": Case(
        dag(
            "nodes:\n- name: n\n  type: llm\n  source: {type: code, path: ask.jinja2}\n"
            "  api: chat\n  module: promptflow.tools.aoai.11  # unknown-module\n  inputs: {q: hi}\n"
        )
    ),
    "unknown-provider": Case(
        dag(
            "nodes:\n- name: n\n  type: llm\n  source: {type: code, path: ask.jinja2}\n"
            "  api: chat\n  provider: AzureOpenAl  # unknown-provider warning\n  inputs: {q: hi}\n"
        )
    ),
    "unknown-tool": Case(
        dag(
            "nodes:\n- name: n\n  type: python\n"
            "  source: {type: package, tool: promptflow.tools.serpapi.search_11}  # unknown-tool\n"
        )
    ),
    "script-syntax": Case(dag(f"nodes:\n{NODE}"), {"run.py": "x = (  # script-syntax\n"}),
    "no-tool": Case(dag(f"nodes:\n{NODE.strip()}  # no-tool\n"), {"run.py": "def run():\n    return 1\n"}),
    "many-tools": Case(
        dag(f"nodes:\n{NODE.strip()}  # many-tools\n"),
        {"run.py": TOOL + "\n\n@tool\ndef other():\n    return 1\n"},
    ),
    "unknown-parameter": Case(
        dag("nodes:\n" + f"- {LINE}name: n, inputs: {{y: 1}}}}  # unknown-parameter\n")
    ),
    "missing-argument": Case(
        dag(f"nodes:\n{NODE.strip()}  # missing-argument\n"), {"run.py": TOOL.replace("x=None", "x")}
    ),
    "template-syntax": Case(
        dag("nodes:\n- {name: n, type: prompt, source: {type: code, path: ask.jinja2}}\n"),
        {"ask.jinja2": "user:\n{% if %}  # template-syntax\n"},
    ),
    "chat-without-role": Case(
        dag("nodes:\n- {name: n, type: llm, source: {type: code, path: ask.jinja2}}  # chat-without-role\n"),
        {"ask.jinja2": "Say hello.\n"},
    ),
    "template-variable-unset": Case(
        dag(
            "nodes:\n- {name: n, type: llm, source: {type: code, path: ask.jinja2}}"
            "  # template-variable-unset warning\n"
        )
    ),
    "input-unused-in-template": Case(
        dag(
            "nodes:\n- {name: n, type: llm, source: {type: code, path: ask.jinja2}, inputs: {q: a, r: b}}"
            "  # input-unused-in-template warning\n"
        )
    ),
    "two-chat-fields": Case(
        dag(
            "inputs:\n  a: {type: string, is_chat_input: true}\n"
            f"  b: {{type: string, is_chat_input: true}}  # two-chat-fields warning\nnodes:\n{NODE}"
        )
    ),
    "unused-node": Case(dag(f"nodes:\n{NODE}- {LINE}name: m}}  # unused-node warning\n")),
    "output-may-be-bypassed": Case(
        dag(
            f"inputs: {{a: {{type: int}}}}\nnodes:\n"
            f"- {LINE}name: n, activate: {{when: '${{inputs.a}}', is: 1}}}}\n"
            "outputs: {y: {type: int, reference: '${n.output}'}}  # output-may-be-bypassed warning\n",
            "",
        )
    ),
}
"""Complaints of `check`."""
