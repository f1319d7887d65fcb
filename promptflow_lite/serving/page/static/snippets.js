/** How is a turn repeated from code? As curl, as Python, and as an OpenAI client. Text only. */

const LONGEST = 20_000;

/** The calls: `[{name, language, code}]`; `isLong` where the inputs are better kept in a file. */
export function snippetsOf(flow, inputs, base, hasKey) {
  const isLong = JSON.stringify(inputs).length > LONGEST;
  const url = new URL("score", base).href;
  const found = [
    { name: "curl", language: "sh", code: curl(url, inputs, hasKey, isLong) },
    { name: "Python", language: "python", code: python(url, inputs, hasKey, isLong) },
  ];
  const question = flow.chat === null ? null : inputs[flow.chat.input];
  if (flow.model !== null && typeof question === "string") {
    found.push({ name: "OpenAI", language: "python", code: openai(flow, inputs, base, hasKey) });
  }
  return { snippets: found, isLong };
}

function curl(url, inputs, hasKey, isLong) {
  const key = hasKey ? ` \\\n  -H "Authorization: Bearer $PF_SERVE_KEY"` : "";
  const body = isLong ? "@inputs.json" : quoted(JSON.stringify(inputs));
  return `curl ${quoted(url)} -H 'content-type: application/json'${key} \\\n  -d ${body}`;
}

function python(url, inputs, hasKey, isLong) {
  const key = hasKey ? ', "authorization": f"Bearer {os.environ[\'PF_SERVE_KEY\']}"' : "";
  return [
    hasKey ? "import json\nimport os" : "import json",
    "from urllib.request import Request, urlopen\n",
    isLong ? 'body = open("inputs.json", "rb").read()' : `body = json.dumps(${literal(inputs)}).encode()`,
    `headers = {"content-type": "application/json"${key}}`,
    `with urlopen(Request(${literal(url)}, body, headers)) as answer:`,
    "    print(json.load(answer))",
  ].join("\n");
}

function openai(flow, inputs, base, hasKey) {
  const { input, history } = flow.chat;
  const others = Object.fromEntries(Object.entries(inputs).filter(([name]) => name !== input && name !== history));
  const extra = Object.keys(others).length > 0 ? `, extra_body={"inputs": ${literal(others)}}` : "";
  const key = hasKey ? 'os.environ["PF_SERVE_KEY"]' : '"none"';
  const message = `{"role": "user", "content": ${literal(inputs[input])}}`;
  return [
    `${hasKey ? "import os\n\n" : ""}from openai import OpenAI\n`,
    `client = OpenAI(base_url=${literal(new URL("v1", base).href)}, api_key=${key})`,
    "for part in client.chat.completions.create(",
    `    model=${literal(flow.model)}, messages=[${message}], stream=True${extra}`,
    "):",
    '    print(part.choices[0].delta.content or "", end="")',
  ].join("\n");
}

/** A word of the shell. */
function quoted(text) {
  return `'${text.replaceAll("'", `'"'"'`)}'`;
}

/** A value as Python writes it. JSON's strings are Python's, but for surrogates, which JSON.stringify escapes. */
function literal(value) {
  if (value === null || value === undefined) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value !== "object") return JSON.stringify(value);
  return `{${Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}: ${literal(item)}`).join(", ")}}`;
}
