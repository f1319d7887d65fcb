/** What is the page made of? Wires its parts once the flow's schema is there. */

import { Chat } from "./chat.js";
import { Composer, Runner } from "./composer.js";
import { Conversations } from "./conversations.js";
import { askText } from "./dialog.js";
import { make } from "./dom.js";
import { flowOf } from "./flow.js";
import { Form } from "./form.js";
import { NodesPanel } from "./nodes.js";
import { Service } from "./service.js";
import { settings } from "./settings.js";
import { Side } from "./sides.js";
import { Store } from "./store.js";
import { words } from "./words.js";

const BASE = new URL(".", location.href);
const TOLD_MS = 6000;
const at = (id) => document.getElementById(id);

let chat = null;
const left = new Side("conversations", at("conversations"), at("menu"), true);
const right = new Side("nodes", at("nodes"), at("nodes-button"), innerWidth > 1200);
settings(at("language"), at("theme"), () => chat?.translate());
begin();

/** Get the schema, with a key if one is asked for, and build the page for it. */
async function begin() {
  const service = new Service(BASE, askKey);
  try {
    build(flowOf(await service.document()), service);
  } catch (error) {
    const again = make("button", { type: "button", class: "main", words: "load", onclick: begin });
    const why = error.message ? { text: error.message } : { words: error.code ?? "error_server" };
    at("transcript").replaceChildren(make("div", { class: "welcome", role: "alert" }, make("p", why), again));
    if (error.code === undefined) throw error;
  }
}

function build(flow, service) {
  const store = new Store(`${BASE.pathname}:${flow.title}`);
  const form = new Form(flow.fields, flow.imageFormat);
  const acts = { form, tell, onstop: () => chat.stop(), onsend: (question) => chat.ask(question) };
  const composer = flow.chat === null ? new Runner(form, acts) : new Composer(flow, acts);
  const panel = new NodesPanel(at("nodes"));
  const conversations = new Conversations(at("list"), store, flow, {
    open: (conversation) => {
      chat.open(conversation);
      left.leave();
    },
    gone: (id) => id === chat.conversation.id && chat.open(),
    renamed: ({ id, title }) => {
      if (id === chat.conversation.id) chat.conversation.title = title;
    },
  });
  const elements = { transcript: at("transcript"), scroller: at("scroller"), live: at("live") };
  chat = new Chat(flow, BASE, { service, store, conversations, panel, form, composer, tell }, elements);
  chat.watch = (turn) => {
    panel.show(turn);
    right.turn(true);
  };
  place(flow, form, composer);
  wire(service, composer, store, conversations);
  chat.open(store.list()[0]);
  composer.focus();
  if (!store.lasts) tell(words("store_none"));
}

/** Put the flow's own parts onto the page. */
function place(flow, form, composer) {
  document.title = flow.title;
  at("title").textContent = flow.title;
  if (flow.chat === null) {
    at("foot").replaceChildren(composer.element);
    return;
  }
  const summary = make("summary", { words: "inputs" });
  const fields = make("details", { class: "inputs", open: form.isNeeded, hidden: form.isEmpty }, summary, form.element);
  at("foot").replaceChildren(fields, composer.element, make("p", { class: "hint under", words: "send_hint" }));
}

function wire(service, composer, store, conversations) {
  const begun = () => {
    chat.open();
    left.leave();
    composer.focus();
  };
  at("new").onclick = begun;
  at("new-top").onclick = begun;
  at("call").onclick = () => chat.showCalls();
  at("call").hidden = false;
  at("forget").hidden = !service.hasKey;
  at("forget").onclick = () => {
    service.forgetKey();
    location.reload();
  };
  store.watch(() => conversations.show());
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault(); // a file beside the box must not replace the page
    composer.drop([...event.dataTransfer.files]);
  });
}

function askKey(isWrong) {
  const hint = isWrong ? "key_wrong" : "key_ask";
  return askText("key", { label: "key", hint, kind: "password" });
}

/** Say something for a moment. */
function tell(text) {
  at("toast").replaceChildren(make("p", { text }));
  clearTimeout(tell.timer);
  tell.timer = setTimeout(() => at("toast").replaceChildren(), TOLD_MS);
}
