/* Which lines are looked at? A table that searches, filters and sorts, drawn a slice at a time. */

const SLICE = 100;
const METRICS = DATA.figures.map((one) => one.metric).filter((metric) => DATA.lines.some((line) => Object.values(line.runs).some((run) => metric in run.scores)));
const LOWER = new Set(DATA.figures.filter((one) => one.lower_is_better).map((one) => one.metric));
const SCORED = METRICS.filter((metric) => !OWN.has(metric));
const BASELINE = RUNS[0].name;
const HAS_EXPECTED = DATA.lines.some((line) => line.expected !== undefined);
const HAS_TOKENS = DATA.lines.some((line) => Object.values(line.runs).some((run) => run.tokens[0] + run.tokens[1]));

const asked = { words: [], filter: { kind: "all" }, metric: DATA.comparisons[0]?.metric ?? SCORED[0] ?? "seconds", by: "line", isDown: false, shown: SLICE };

/** What the search looks at, made when it is first asked. */
const found = new Map();
function searched(line) {
  if (!found.has(line)) {
    const runs = Object.values(line.runs);
    const indexes = [...Object.values(line.inputs), line.expected, ...runs.flatMap((run) => [...Object.values(run.outputs ?? {}), run.error?.message])];
    found.set(line, plain([line.name, ...indexes.map(text), ...runs.map((run) => run.error?.code ?? "")].join("\n")));
  }
  return found.get(line);
}

function plain(string) {
  return string.normalize("NFKC").toLowerCase();
}

/** By how much a line scored better than in the baseline; nothing where one of both has no score. */
function gain(line, run, metric) {
  const one = line.runs[BASELINE]?.scores[metric], other = line.runs[run]?.scores[metric];
  return one === undefined || other === undefined ? undefined : (other - one) * (LOWER.has(metric) ? -1 : 1);
}

const answer = (run) => JSON.stringify(Object.entries(run?.outputs ?? {}));
const KINDS = {
  all: () => true,
  failed: (line) => Object.values(line.runs).some((run) => run.status === "Failed"),
  newly: (line, { run }) => line.runs[run]?.status === "Failed" && line.runs[BASELINE]?.status === "Completed",
  "no longer": (line, { run }) => line.runs[run]?.status === "Completed" && line.runs[BASELINE]?.status === "Failed",
  better: (line, { run, metric }) => gain(line, run, metric ?? asked.metric) > 0,
  worse: (line, { run, metric }) => gain(line, run, metric ?? asked.metric) < 0,
  differ: (line) => new Set(Object.values(line.runs).map(answer)).size > 1,
  cell: (line, { run, evaluation, truth, answer, rows }) => {
    const inputs = line.runs[run]?.evaluations.find((one) => one.run === evaluation)?.inputs ?? (run === evaluation ? line.inputs : {});
    const given = text(inputs.prediction).trim();
    return text(inputs.ground_truth).trim() === truth && (rows.includes(answer) ? given === answer : !rows.includes(given));
  },
};

function filters() {
  const all = [["All lines", { kind: "all" }], ["Failed", { kind: "failed" }]];
  if (RUNS.length > 1) all.push(["Answers differ", { kind: "differ" }]);
  for (const run of DATA.comparisons.length ? RUNS.slice(1) : [])
    for (const [words, kind] of [["better", "better"], ["worse", "worse"], ["newly failing", "newly"], ["no longer failing", "no longer"]]) all.push([`${run.letter}: ${words}`, { kind, run: run.name }]);
  return all;
}

const key = (filter) => `${filter.kind}:${filter.run ?? ""}`;

function matching() {
  const { words, filter } = asked;
  const lines = DATA.lines.filter((line) => KINDS[filter.kind](line, filter) && words.every((word) => searched(line).includes(word)));
  const value = sortValue();
  const order = (a, b) => {
    const [one, other] = [value(a), value(b)];
    if (one === undefined || other === undefined) return (one === undefined) - (other === undefined);
    return (typeof one === "string" ? one.localeCompare(other) : one - other) * (asked.isDown ? -1 : 1);
  };
  return asked.by === "line" ? (asked.isDown ? lines.reverse() : lines) : lines.sort(order);
}

function sortValue() {
  const [kind, name] = asked.by.split(/:(.*)/s);
  const first = (line) => line.runs[BASELINE] ?? Object.values(line.runs)[0];
  switch (kind) {
    case "run": return (line) => line.runs[name]?.scores[asked.metric];
    case "score": return (line) => first(line)?.scores[name];
    case "status": return (line) => first(line)?.status;
    case "input": return (line) => text(Object.values(line.inputs)[0]);
    case "expected": return (line) => text(line.expected);
    default: return (line) => text(Object.values(first(line)?.outputs ?? {})[0]);
  }
}

function columns() {
  const common = [["line", "line"], ["input", "inputs"], ...(HAS_EXPECTED ? [["expected", "expected"]] : [])];
  if (RUNS.length > 1) return [...common, ...RUNS.map((run) => [`run:${run.name}`, runName(run.name)])];
  const scores = [...SCORED.slice(0, 6), "seconds", ...(HAS_TOKENS ? ["total_tokens"] : [])];
  return [common[0], ["status", "status"], ...common.slice(1), ["answer", "answer"], ...scores.map((metric) => [`score:${metric}`, said(metric === "total_tokens" ? "tokens" : metric)])];
}

function row(line) {
  const open = h("a", { class: "open", href: addressOf(line), "data-line": line.name, "aria-label": `Open line ${line.name}` }, said(line.name));
  const cells = [h("th", { scope: "row", "data-label": "line" }, open)];
  const alone = RUNS.length === 1 ? line.runs[BASELINE] : undefined;
  if (alone) cells.push(h("td", { "data-label": "status" }, badge(STATUS[alone.status] ?? "dim", alone.status)));
  cells.push(h("td", { "data-label": "inputs" }, preview(line.inputs)));
  if (HAS_EXPECTED) cells.push(h("td", { "data-label": "expected" }, h("div", { class: "preview" }, said(clipped(text(line.expected), 300)))));
  if (!alone) return h("tr", {}, cells, RUNS.map((run) => answerCell(line, run)));
  cells.push(h("td", { "data-label": "answer" }, alone.error ? failure(alone.error) : preview(saidIn(alone))));
  return h("tr", {}, cells, columns().filter(([by]) => by.startsWith("score:")).map(([by]) => scoreCell(alone, by.slice(6))));
}

function scoreCell(run, metric) {
  const value = run.scores[metric];
  return h("td", { class: "number", "data-label": metric === "total_tokens" ? "tokens" : metric }, value === undefined ? "–" : metric === "seconds" ? seconds(value) : number(value));
}

function answerCell(line, run) {
  const result = line.runs[run.name];
  if (!result) return h("td", { "data-label": run.letter }, "–");
  const value = result.scores[asked.metric];
  const shown = asked.metric === "seconds" ? seconds : number;
  return h("td", { "data-label": run.letter }, result.error ? failure(result.error) : preview(saidIn(result)),
    value === undefined ? null : h("span", { class: "scored" }, scoreBadge(line, run.name, asked.metric, shown(value))));
}

/** A score, and whether it is better or worse than the baseline's of the line. */
function scoreBadge(line, name, metric, shown) {
  const change = name === BASELINE || !DATA.comparisons.length ? undefined : gain(line, name, metric);
  return badge(change > 0 ? "good" : change < 0 ? "bad" : "dim", change > 0 ? "▲ " : change < 0 ? "▼ " : "", said(metric), ` ${shown}`);
}

function failure(error) {
  return h("div", { class: "preview bad" }, h("b", {}, said(error.code)), " ", said(clipped(text(error.message), 200)));
}

/** Of a conversation what was said; what its last turn gave stands in there. */
function saidIn(run) {
  return run.turns ? { turns: run.outputs.turns } : run.outputs;
}

function preview(byName) {
  const all = Object.entries(byName ?? {});
  const filled = all.filter(([, index]) => !["", "[]", "{}"].includes(text(index)));
  const pairs = filled.length ? filled : all;
  const most = pairs.length > 1 ? 160 : 300;
  return h("div", { class: "preview" }, pairs.map(([name, index]) => h("div", {}, all.length > 1 ? h("b", { class: "key" }, said(name), " ") : null, said(clipped(text(index).replace(/\s+/g, " "), most)))));
}
