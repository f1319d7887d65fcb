/** How does a conversation leave the browser? As JSON, whole; as Markdown, to be read. */

import { textIn } from "./values.js";
import { words } from "./words.js";

/** A conversation as JSON. */
export function asJson({ title, created, turns }) {
  const kept = turns.map(({ inputs, outputs, requestId, error, feedback, seconds, nodes }) => ({
    inputs,
    outputs,
    request_id: requestId,
    ...(error ? { error } : {}),
    ...(feedback ? { feedback } : {}),
    seconds,
    nodes,
  }));
  return JSON.stringify({ title, created: new Date(created).toISOString(), turns: kept }, null, 2);
}

/** A conversation as Markdown. */
export function asMarkdown(flow, { title, turns }) {
  const parts = turns.flatMap((turn) => [
    `## ${words("you")}`,
    flow.chat === null ? named(turn.inputs) : textIn(turn.inputs[flow.chat.input]),
    `## ${words("answer")}`,
    turn.error ? `> ${turn.error.message || turn.error.code}` : answerOf(flow, turn.outputs),
  ]);
  return `${[`# ${title}`, ...parts].join("\n\n")}\n`;
}

/** A name for the file. */
export function fileName(title, ending) {
  const name = title.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "");
  return `${name || "conversation"}.${ending}`;
}

function answerOf(flow, outputs) {
  return flow.chat === null ? named(outputs) : textIn(outputs[flow.chat.output]);
}

function named(values) {
  return Object.entries(values)
    .map(([name, value]) => `**${name}**\n\n${textIn(value)}`)
    .join("\n\n");
}
