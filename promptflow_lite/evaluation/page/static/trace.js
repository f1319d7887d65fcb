/* What happened to a line, and when? A bar a node on the line's own clock; opened, what went in and out. */

function timeline(outcome, label) {
  const nodes = outcome.trace ?? [];
  if (!nodes.length) return h("p", { class: "note" }, "No trace here; lines.jsonl in the run's folder has it.");
  const whole = Math.max(outcome.seconds, ...nodes.map((node) => node.at + node.seconds), 1e-6);
  return h("div", { class: "timeline", role: "group", "aria-label": label },
    h("div", { class: "clock", "aria-hidden": "true" }, ticks(0, whole, 4).filter((at) => at <= whole).map((at) => placed(h("span", {}, seconds(at)), at / whole))),
    nodes.map((node) => nodeRow(node, whole)));
}

function placed(node, left, width) {
  node.style.left = `min(${100 * left}%, 100% - 3px)`;
  if (width !== undefined) node.style.width = `${100 * width}%`;
  return node;
}

function nodeRow(node, whole) {
  const bar = placed(h("span", { class: "bar", "data-kind": node.model ? "model" : "code", "data-status": node.status }), node.at / whole, node.seconds / whole);
  const tokens = node.tokens ? `${number(node.tokens[0])}+${number(node.tokens[1])} tokens` : null;
  const details = h("details", { class: "node" },
    h("summary", {},
      h("span", { class: "name" }, said(node.node), node.status === "Completed" ? null : [" ", badge(STATUS[node.status] ?? "dim", node.status)]),
      h("span", { class: "track" }, bar),
      h("span", { class: "took" }, node.status === "Bypassed" ? "–" : seconds(node.seconds), tokens ? h("small", { class: "under" }, tokens) : null)));
  details.addEventListener("toggle", () => details.childElementCount === 1 && details.append(nodeBody(node)));
  return details;
}

function nodeBody(node) {
  return h("div", { class: "body" },
    facts([
      ["model", node.model && said(node.model)],
      ["endpoint", node.endpoint && said(node.endpoint)],
      ["began after", seconds(node.at)],
      ["took", seconds(node.seconds)],
      ["tokens", node.tokens && `${number(node.tokens[0])} in, ${number(node.tokens[1])} out`],
      ["cost", node.cost === undefined ? null : dollars(node.cost)],
      ["answered", node.reused ? "from the cache" : null],
      ["stopped", node.finish_reason && said(node.finish_reason)],
    ]),
    node.error ? errorBlock(node.error) : null,
    node.messages ? [h("h4", {}, "Prompt"), node.messages.map(([role, index]) => h("div", { class: "message", "data-role": role }, said(role, "b"), block(text(index), role)))] : null,
    values("Inputs", node.inputs),
    node.output === undefined ? null : [h("h4", {}, "Output"), block(text(node.output), "output")],
    node.logs === undefined ? null : [h("h4", {}, "Printed"), block(text(node.logs), "printed")]);
}

function errorBlock(error) {
  return h("div", { class: "error" }, h("b", {}, said(error.code), error.node ? [" in ", said(error.node)] : null), block(text(error.message), "error"),
    error.traceback === undefined ? null : h("details", {}, h("summary", {}, "Traceback"), block(text(error.traceback), "traceback")));
}

function values(title, byName) {
  const pairs = Object.entries(byName ?? {});
  if (!pairs.length) return null;
  return [title ? h("h4", {}, title) : null, h("dl", { class: "values" }, pairs.map(([name, index]) => [h("dt", {}, said(name)), h("dd", {}, block(index === null ? "null" : text(index), name))]))];
}
