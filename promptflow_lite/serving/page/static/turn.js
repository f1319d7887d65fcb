/** What is a turn on the page? What was asked, what came back as it comes, and what can be done with it. */

import { passageOf, passagesIn } from "./citations.js";
import { copyText, icon, iconButton, make } from "./dom.js";
import { feedbackOf } from "./feedback.js";
import { Markdown } from "./markdown.js";
import { totalOf } from "./nodes.js";
import { citationButton, sourceList } from "./passage.js";
import { outputElement, plainElement, textIn } from "./values.js";

export class TurnView {
  /** `acts`: `send(turn, score, comment)`, `keep()`, `retry(turn)`, `call(turn)`, `nodes(turn)`. */
  constructor(flow, turn, acts) {
    this.flow = flow;
    this.turn = turn;
    this.acts = acts;
    this.answer = make("div", { class: "markdown" });
    this.others = make("div", { class: "others" });
    this.foot = make("div", { class: "foot" });
    this.wait = make("p", { class: "waiting hint", words: "answering" });
    this.markdown = new Markdown(this.answer);
    const asked = make("div", { class: "asked" }, ...this.#asked());
    const said = make("div", { class: "said" }, this.wait, this.answer, this.others, this.foot);
    this.element = make("article", { class: "turn" }, make("h3", { class: "unseen", words: "you" }), asked, make("h3", { class: "unseen", words: "answer" }), said);
    if (turn.isDone) this.finish();
    else this.element.setAttribute("aria-busy", "true");
  }

  /** Show what has come so far; once a frame is often enough. */
  grow() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      if (!this.turn.isDone) this.#showAnswer();
    });
  }

  /** Show the whole answer, with its citations and what can be done with it. */
  finish() {
    this.element.removeAttribute("aria-busy");
    this.wait.remove();
    this.#showAnswer();
    const { outputs } = this.turn;
    const text = this.#text();
    this.markdown.showCitations(text, (number) => {
      const passage = passageOf(outputs, number);
      return passage === null ? null : citationButton(passage);
    });
    const passages = passagesIn(outputs, text);
    const sources = passages.length > 0 ? [sourceList(passages)] : [];
    this.others.replaceChildren(...sources, ...this.#others());
    this.foot.replaceChildren(...this.#foot());
  }

  /** The blocks of the answer that are whole, as text, for those who hear the page. */
  spoken(isDone) {
    const blocks = [...this.answer.children];
    return (isDone ? blocks : blocks.slice(0, -1)).map((block) => block.textContent);
  }

  #text() {
    const value = this.flow.chat === null ? "" : this.turn.outputs[this.flow.chat.output];
    return value === undefined || value === null ? "" : textIn(value);
  }

  #showAnswer() {
    const text = this.#text();
    this.wait.hidden = text !== "";
    this.markdown.show(text);
  }

  #asked() {
    const { inputs } = this.turn;
    const { chat } = this.flow;
    if (chat === null) return [named(inputs, plainElement)];
    const others = Object.entries(inputs).filter(([name]) => name !== chat.input && name !== chat.history);
    const question = plainElement(inputs[chat.input]);
    return others.length === 0 ? [question] : [question, named(Object.fromEntries(others), plainElement)];
  }

  /** Outputs beside the answer; of a chat they are folded away, but for pictures in the answer itself. */
  #others() {
    const { chat } = this.flow;
    const rest = Object.entries(this.turn.outputs).filter(([name]) => name !== chat?.output);
    if (rest.length === 0) return this.#pictures();
    const table = named(Object.fromEntries(rest), outputElement);
    if (chat === null) return [table];
    return [...this.#pictures(), make("details", { class: "more" }, make("summary", { words: "outputs_other" }), table)];
  }

  #pictures() {
    const value = this.flow.chat === null ? null : this.turn.outputs[this.flow.chat.output];
    return value === null || typeof value !== "object" ? [] : [plainElement(value)];
  }

  #foot() {
    const { turn, acts } = this;
    const error = turn.error && make("div", { class: "error", role: "alert" }, ...errorOf(turn.error));
    const copy = make("button", { type: "button", class: "quiet", label: "copy", onclick: () => copyText(this.#raw(), copy) }, icon("copy"), icon("check"));
    const feedback = turn.requestId ? feedbackOf(turn, { send: (...given) => acts.send(turn, ...given), keep: acts.keep }) : null;
    const retry = turn.error || turn.isStopped ? iconButton("retry", "retry", () => acts.retry(turn)) : null;
    const nodes = turn.nodes?.length > 0 ? iconButton("nodes", "nodes", () => acts.nodes(turn)) : null;
    const call = iconButton("code", "call", () => acts.call(turn));
    const total = make("span", { class: "hint total", text: totalOf(turn) });
    const has = Object.keys(turn.outputs).length > 0;
    const rates = feedback === null || turn.error ? [] : feedback.buttons;
    const row = make("div", { class: "row acts" }, has && copy, ...rates, retry, nodes, call, total);
    const stopped = turn.isStopped && make("p", { class: "hint", words: "stopped" });
    return [error, stopped, row, feedback?.element].filter(Boolean);
  }

  #raw() {
    return this.flow.chat === null ? JSON.stringify(this.turn.outputs, null, 2) : this.#text();
  }
}

function errorOf({ code, message, waitS }) {
  const said = message ? make("p", { class: "plain", text: message }) : make("p", { words: code });
  const wait = waitS ? make("p", { words: ["wait", { seconds: waitS }] }) : null;
  return [said, wait, message ? make("code", { text: code }) : null].filter(Boolean);
}

function named(values, show) {
  const rows = Object.entries(values).map(([name, value]) =>
    make("div", {}, make("dt", {}, make("code", { text: name })), make("dd", {}, show(value))),
  );
  return make("dl", {}, ...rows);
}
