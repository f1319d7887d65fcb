/** Which conversations are there? Their list, and what can be done with each. */

import { askText, askWhether } from "./dialog.js";
import { download, iconButton, make } from "./dom.js";
import { asJson, asMarkdown, fileName } from "./export.js";

export class Conversations {
  /** `acts`: `open(conversation)`, `gone(id)`. */
  constructor(list, store, flow, acts) {
    this.list = list;
    this.store = store;
    this.flow = flow;
    this.acts = acts;
    this.openId = null;
  }

  /** Show the list, with the open one marked. */
  show(openId = this.openId) {
    this.openId = openId;
    const found = this.store.list();
    const rows = found.map((conversation) => this.#row(conversation));
    this.list.replaceChildren(...(rows.length > 0 ? rows : [make("li", { class: "hint", words: "no_conversation" })]));
  }

  #row(conversation) {
    const { id, title } = conversation;
    const open = make("button", {
      type: "button",
      class: "title",
      text: title,
      "aria-current": id === this.openId && "true",
      onclick: () => this.acts.open(conversation),
    });
    const item = (words, act) => make("li", {}, make("button", { type: "button", words, onclick: () => act(conversation) }));
    const menu = make(
      "ul",
      { class: "menu", popover: "auto", id: `menu-${id}` },
      item("rename", () => this.#rename(conversation)),
      item("export_markdown", () => this.#save(conversation, "md", "text/markdown", asMarkdown(this.flow, conversation))),
      item("export_json", () => this.#save(conversation, "json", "application/json", asJson(conversation))),
      item("delete", () => this.#delete(conversation)),
    );
    const more = iconButton("more", "more", () => place(menu, more), { popovertarget: menu.id });
    menu.addEventListener("click", () => menu.hidePopover());
    return make("li", { class: id === this.openId && "open" }, open, more, menu);
  }

  async #rename(conversation) {
    const title = await askText("rename", { value: conversation.title, label: "title" });
    if (title === null) return;
    conversation.title = title;
    this.store.keep(conversation);
    this.acts.renamed(conversation);
    this.show();
  }

  async #delete({ id, title }) {
    if (!(await askWhether("delete", ["delete_ask", { title }], "delete"))) return;
    this.store.remove(id);
    this.acts.gone(id);
    this.show();
  }

  #save({ title }, ending, kind, text) {
    download(fileName(title, ending), kind, text);
  }
}

/** Put an open menu below its button. */
function place(menu, button) {
  const { left, bottom } = button.getBoundingClientRect();
  menu.style.left = `${Math.max(8, Math.min(left, innerWidth - 220))}px`;
  menu.style.top = `${Math.min(bottom + 4, innerHeight - 180)}px`;
}
