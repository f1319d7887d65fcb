/** What does the flow take and give? Read from the endpoint's OpenAPI document. */

const KINDS = { integer: "int", number: "double", boolean: "bool", string: "string", array: "list" };

/** The flow: its title, inputs, outputs, and the roles of a chat, if it is one. */
export function flowOf(document) {
  const { Inputs, Outputs } = document.components.schemas;
  const chat = document["x-chat"] ?? null;
  const required = new Set(Inputs.required ?? []);
  const inputs = Object.entries(Inputs.properties ?? {}).map(([name, schema]) => ({
    name,
    kind: kindOf(schema),
    isRequired: required.has(name),
    default: schema.default,
    choices: schema["x-enum"] ?? schema.enum ?? null,
    description: schema.description ?? "",
  }));
  return {
    title: document.info.title,
    description: document.info.description ?? "",
    inputs,
    outputs: Object.keys(Outputs.properties ?? {}),
    chat,
    question: inputs.find((input) => input.name === chat?.input) ?? null,
    fields: inputs.filter((input) => input.name !== chat?.input && input.name !== chat?.history),
    example: Inputs.example ?? {},
    imageFormat: document["x-images"] ?? "basic",
    model: document.paths["/v1/chat/completions"]?.post["x-model"] ?? null,
  };
}

/** Questions to begin with: the flow's example, and the default of its chat input. */
export function suggestionsOf(flow) {
  if (flow.chat === null) return [];
  const found = [flow.question?.default, flow.example[flow.chat.input]];
  return [...new Set(found.filter((text) => typeof text === "string" && text.trim() !== "" && text !== "text"))];
}

/** The chat's earlier turns, as the flow's history has them; what failed was never said. */
export function historyOf(flow, turns) {
  const { input, output, turns: form } = flow.chat;
  const said = turns.filter((turn) => !turn.error && typeof turn.outputs[output] === "string");
  if (form === "messages") {
    return said.flatMap((turn) => [
      { role: "user", content: turn.inputs[input] },
      { role: "assistant", content: turn.outputs[output] },
    ]);
  }
  return said.map((turn) => ({
    inputs: { [input]: turn.inputs[input] },
    outputs: { [output]: turn.outputs[output] },
  }));
}

/** What is sent for a question: the form's values, the question, and what was said before. */
export function inputsOf(flow, values, question, turns) {
  if (flow.chat === null) return values;
  const history = flow.chat.history ? { [flow.chat.history]: historyOf(flow, turns) } : {};
  return { ...values, [flow.chat.input]: question, ...history };
}

function kindOf(schema) {
  if (schema.properties && Object.keys(schema.properties).some((name) => name.startsWith("data:image/"))) {
    return "image";
  }
  return KINDS[schema.type] ?? "object";
}
