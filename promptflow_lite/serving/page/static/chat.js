/** What happens between a question and its answer? The open conversation: asking, growing, stopping, keeping. */

import { showCalls } from "./calls.js";
import { make } from "./dom.js";
import { inputsOf, suggestionsOf } from "./flow.js";
import { noted } from "./nodes.js";
import { StoreFull } from "./store.js";
import { TurnView } from "./turn.js";
import { textIn } from "./values.js";
import { words } from "./words.js";

const LONGEST_TITLE = 48;

export class Chat {
  /**
   * `parts`: `service`, `store`, `conversations`, `panel`, `form`, `composer`, `tell(text)`.
   * `elements`: `transcript`, `scroller`, `live`.
   */
  constructor(flow, base, parts, elements) {
    Object.assign(this, { flow, base, ...parts, ...elements });
    this.running = null;
    addEventListener("pagehide", () => this.#keep());
  }

  get isBusy() {
    return this.running !== null;
  }

  /** Open a conversation, or begin one. */
  open(conversation = fresh()) {
    this.stop();
    for (const turn of conversation.turns) settle(turn);
    this.conversation = conversation;
    this.views = conversation.turns.map((turn) => this.#view(turn));
    this.show();
    this.conversations.show(conversation.id);
    this.form.fill(conversation.turns.at(-1)?.inputs ?? {});
    this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  /** Show the conversation as it is. */
  show() {
    const { turns } = this.conversation;
    this.transcript.replaceChildren(...(turns.length === 0 ? [this.#welcome()] : this.views.map((view) => view.element)));
    this.panel.show(turns.at(-1) ?? null);
  }

  /** Show everything anew, in another language. */
  translate() {
    if (!this.isBusy) this.views = this.conversation.turns.map((turn) => this.#view(turn));
    this.show();
  }

  /** Show the code for a call: the last one's, or the flow's example. */
  showCalls() {
    const last = this.conversation.turns.at(-1);
    showCalls(this.flow, last?.inputs ?? this.flow.example, this.base, this.service.hasKey);
  }

  /** Ask; whether that could be done. */
  ask(question) {
    if (this.isBusy) return false;
    const values = this.form.values();
    if (values === null) return false;
    this.#run(inputsOf(this.flow, values, question, this.conversation.turns));
    return true;
  }

  /** End what runs; what came so far stays. */
  stop() {
    this.running?.abort();
    if (this.isBusy) this.#rest();
  }

  async #run(inputs) {
    const { conversation, flow } = this;
    const turn = { inputs, outputs: {}, nodes: [], isDone: false };
    if (conversation.turns.length === 0) conversation.title = titleOf(flow, inputs);
    conversation.turns.push(turn);
    const view = this.#view(turn);
    this.views.push(view);
    this.show();
    this.scroller.scrollTop = this.scroller.scrollHeight;
    const running = new AbortController();
    this.running = running;
    this.composer.isBusy = true;
    this.live.replaceChildren(make("p", { text: words("answering") }));
    this.#keep();
    await this.#follow(turn, view, running.signal);
    turn.isDone = true;
    const isPinned = this.#isAtEnd();
    view.finish();
    if (isPinned) this.scroller.scrollTop = this.scroller.scrollHeight;
    this.#speak(view, true);
    if (this.running === running) this.#rest();
    if (this.panel.turn === turn) this.panel.show(turn);
    this.#keep(conversation);
  }

  #rest() {
    this.running = null;
    this.composer.isBusy = false;
  }

  async #follow(turn, view, signal) {
    const began = performance.now();
    const seconds = () => (performance.now() - began) / 1000;
    try {
      for await (const { requestId, node, outputs } of this.service.score(turn.inputs, signal)) {
        if (requestId) turn.requestId = requestId;
        if (node) turn.nodes = noted(turn.nodes, node, seconds());
        if (node && this.panel.turn === turn) this.panel.show(turn);
        if (outputs) this.#grow(turn, view, outputs);
      }
    } catch (error) {
      if (error.name === "AbortError") turn.isStopped = true;
      else turn.error = { code: error.code ?? "error_broken", message: error.code ? error.message : "", waitS: error.waitS };
      turn.requestId = error.requestId ?? turn.requestId;
      turn.nodes = turn.nodes.filter(({ status }) => status !== "Running");
    }
    turn.seconds = seconds();
  }

  /** Text comes in parts, everything else whole. */
  #grow(turn, view, outputs) {
    const isPinned = this.#isAtEnd();
    for (const [name, value] of Object.entries(outputs)) {
      const before = turn.outputs[name];
      turn.outputs[name] = typeof value === "string" && typeof before === "string" ? before + value : value;
    }
    view.grow();
    requestAnimationFrame(() => {
      if (isPinned) this.scroller.scrollTop = this.scroller.scrollHeight;
      if (!turn.isDone) this.#speak(view, false);
    });
  }

  /** Say the blocks of the answer that are whole to those who hear the page; each once. */
  #speak(view, isDone) {
    const said = view.spoken(isDone);
    const known = view.saidCount ?? 0;
    if (known === 0 && said.length > 0) this.live.replaceChildren();
    this.live.append(...said.slice(known).map((text) => make("p", { text })));
    view.saidCount = said.length;
    if (isDone && said.length === 0) this.live.replaceChildren(make("p", { text: view.foot.textContent || words("outputs") }));
  }

  #isAtEnd() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    return scrollHeight - scrollTop - clientHeight < 80;
  }

  #view(turn) {
    return new TurnView(this.flow, turn, {
      send: (of, score, comment) => this.service.feedback(of.requestId, score, comment),
      keep: () => this.#keep(),
      retry: (of) => this.#retry(of),
      call: (of) => showCalls(this.flow, of.inputs, this.base, this.service.hasKey),
      nodes: (of) => this.watch(of),
    });
  }

  #retry(turn) {
    if (this.isBusy) return;
    const at = this.conversation.turns.indexOf(turn);
    this.conversation.turns.splice(at, 1);
    this.views.splice(at, 1);
    this.#run(turn.inputs);
  }

  #welcome() {
    const { flow } = this;
    const examples = suggestionsOf(flow).map((text) =>
      make("button", { type: "button", class: "example", text, onclick: () => this.composer.put(text) }),
    );
    return make(
      "div",
      { class: "welcome" },
      make("h2", { words: flow.chat === null ? "no_runs" : "no_turns" }),
      flow.description && make("p", { text: flow.description }),
      examples.length > 0 && make("p", { class: "hint", words: "try" }),
      ...examples,
    );
  }

  #keep(conversation = this.conversation) {
    if (!conversation || conversation.turns.length === 0) return;
    conversation.updated = Date.now();
    try {
      if (this.store.keep(conversation)) this.tell(words("store_full"));
    } catch (error) {
      if (!(error instanceof StoreFull)) throw error;
      this.tell(words("store_none"));
    }
    this.conversations.show();
  }
}

function fresh() {
  // crypto.randomUUID is there with TLS and on loopback only.
  const id = [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return { id, title: words("untitled"), created: Date.now(), updated: Date.now(), turns: [] };
}

/** What was under way when the page was left has stopped. */
function settle(turn) {
  if (turn.isDone) return;
  Object.assign(turn, { isDone: true, isStopped: true });
}

function titleOf(flow, inputs) {
  const text = flow.chat === null ? Object.values(inputs).map(textIn).join(" ") : textIn(inputs[flow.chat.input]);
  const line = text.replace(/\s+/g, " ").trim();
  if (line === "") return words(flow.chat === null ? "untitled" : "image");
  const signs = [...line];
  return signs.length > LONGEST_TITLE ? `${signs.slice(0, LONGEST_TITLE).join("")}…` : line;
}
