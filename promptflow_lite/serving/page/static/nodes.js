/** Which nodes does a run have, and what do they cost? Watched as they run, shown with time and tokens. */

import { make } from "./dom.js";
import { words } from "./words.js";

/** What is known of the nodes of a run after another event of the server; times are since its first. */
export function noted(nodes, event, now) {
  const known = nodes.find(({ node }) => node === event.node);
  if (known === undefined) return [...nodes, { ...event, began: Math.max(0, now - (event.seconds ?? 0)) }];
  return nodes.map((one) => (one === known ? { ...known, ...event } : one));
}

/** The tokens of a run, or `null` where no model counted any. */
export function tokensOf(nodes) {
  const counted = nodes.filter(({ tokens }) => tokens > 0);
  return counted.length === 0 ? null : counted.reduce((sum, { tokens }) => sum + tokens, 0);
}

/** The panel of the nodes of one turn. */
export class NodesPanel {
  constructor(element) {
    this.list = element.querySelector("ol");
    this.total = element.querySelector(".total");
    this.turn = null;
    this.show(null);
  }

  /** Show the nodes of a turn, or that there are none. */
  show(turn) {
    this.turn = turn;
    const nodes = turn?.nodes ?? [];
    const whole = Math.max(turn?.seconds ?? 0, ...nodes.map(({ began, seconds = 0 }) => began + seconds), 0.001);
    const rows = nodes.map((node) => rowOf(node, whole));
    this.list.replaceChildren(...(rows.length > 0 ? rows : [make("li", { class: "hint", words: "no_nodes" })]));
    this.total.textContent = turn === null ? "" : totalOf(turn);
  }
}

/** Seconds and tokens of a turn in words. */
export function totalOf(turn) {
  const tokens = tokensOf(turn.nodes ?? []);
  return [
    turn.seconds === undefined || turn.seconds === null ? null : words("total", { seconds: turn.seconds < 1 ? turn.seconds.toFixed(2) : turn.seconds.toFixed(1) }),
    tokens === null ? null : words("tokens", { count: tokens.toLocaleString() }),
  ]
    .filter((part) => part !== null)
    .join(" · ");
}

function rowOf({ node, status, began, seconds, tokens }, whole) {
  const isBypassed = status === "Bypassed";
  const state = { Running: "running", Failed: "failed", Bypassed: "bypassed" }[status];
  const facts = [
    seconds === undefined || isBypassed ? null : words("node_time", { seconds: precise(seconds) }),
    tokens ? words("tokens", { count: tokens.toLocaleString() }) : null,
  ].filter((fact) => fact !== null);
  const bar = make("div", { class: "bar", hidden: isBypassed, "aria-hidden": "true" });
  // A style of the element itself, set by script, is no inline style: the policy lets it pass.
  bar.style.setProperty("--from", `${(100 * began) / whole}%`);
  bar.style.setProperty("--size", `${Math.max(1, (100 * (seconds ?? whole - began)) / whole)}%`);
  const told = state && make("span", { class: "state", words: state });
  const head = make("div", { class: "row between" }, make("code", { text: node }), told, facts.length > 0 && make("span", { class: "hint", text: facts.join(" · ") }));
  return make("li", { class: status.toLowerCase() }, head, bar);
}

function precise(seconds) {
  return seconds < 0.1 ? seconds.toFixed(3) : seconds.toFixed(2);
}
