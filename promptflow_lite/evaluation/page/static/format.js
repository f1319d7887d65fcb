/* How do numbers and names look? */

const RUNS = DATA.runs.map((run, i) => ({ ...run, i, letter: String.fromCharCode(65 + (i % 26)) }));
const RUN = new Map(RUNS.map((run) => [run.name, run]));
const isSeconds = (metric) => metric === "seconds" || metric.startsWith("seconds_p");
const OWN = new Set(["completed", "seconds", "total_tokens", "failure_rate"]);

function number(value) {
  if (value === null || value === undefined) return "–";
  if (value < 0) return `−${number(-value)}`;
  if (Number.isInteger(value)) return value.toLocaleString("en-US");
  if (value >= 1000) return Math.round(value).toLocaleString("en-US");
  return String(Number(value.toPrecision(value < 0.001 ? 2 : 3)));
}

function signed(value) {
  return value === null ? "–" : (value > 0 ? "+" : value < 0 ? "−" : "±") + number(Math.abs(value));
}

function interval([, low, high], write = number) {
  if (low === high) return "";
  return `${low === null ? "−∞" : write(low)} to ${high === null ? "∞" : write(high)}`;
}

function seconds(value) {
  if (value === null || value === undefined) return "–";
  if (value < 0) return `−${seconds(-value)}`;
  if (value === 0) return "0";
  if (value < 0.0001) return "<0.1 ms";
  if (value < 0.01) return `${Number((value * 1000).toPrecision(2))} ms`;
  if (value < 1) return `${Math.round(value * 1000)} ms`;
  if (value < 120) return `${Number(value.toPrecision(3))} s`;
  return `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`;
}

function dollars(value) {
  if (value === null || value === undefined) return "–";
  return value && value < 0.01 ? `$${value.toPrecision(2)}` : `$${value.toFixed(2)}`;
}

function moment(epoch) {
  return epoch ? new Date(epoch * 1000).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" }) : "–";
}

/** A run's letter in its colour, and its name. */
function runName(name, isShort) {
  const run = RUN.get(name);
  if (!run) return said(name);
  return h("span", { class: "run", "data-run": run.i % 8, title: run.name },
    RUNS.length > 1 ? h("b", { class: "letter" }, run.letter) : null, isShort ? null : said(run.display_name || run.name));
}

function badge(kind, ...words) {
  return h("span", { class: "badge", "data-kind": kind }, words);
}

const STATUS = { Completed: "good", Failed: "bad", Canceled: "dim", Bypassed: "dim", Running: "open" };
const VERDICT = { better: "good", "no worse": "good", worse: "bad", inconclusive: "open" };
const OUTCOME = { pass: "good", fail: "bad", inconclusive: "open" };
