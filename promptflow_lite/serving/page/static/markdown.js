/** How does Markdown become elements? Block by block; while a text grows, only its last blocks are made anew. */

import { blocksOf } from "./blocks.js";
import { copyText, icon, make } from "./dom.js";
import { inline } from "./inline.js";

export class Markdown {
  /** `cite(number)` gives the element for a citation, or `null` where there is none. */
  constructor(element, cite = () => null) {
    this.element = element;
    this.cite = cite;
    this.shown = [];
  }

  /** Show the text; the blocks that it begins with as before stay as they are. */
  show(text) {
    const blocks = blocksOf(text);
    let same = 0;
    while (same < blocks.length && blocks[same].raw === this.shown[same]) same += 1;
    while (this.element.children.length > same) this.element.lastElementChild.remove();
    this.element.append(...blocks.slice(same).map((block) => elementOf(block, this.cite)));
    this.shown = blocks.map((block) => block.raw);
  }

  /** Show the same text with other citations. */
  showCitations(text, cite) {
    this.cite = cite;
    this.shown = [];
    this.show(text);
  }
}

/** A code block that can be copied. */
export function codeBlock(code, language = "") {
  const button = make(
    "button",
    { type: "button", class: "quiet copy", label: "copy", onclick: () => copyText(code, button) },
    icon("copy"),
    icon("check"),
  );
  const head = make("div", { class: "code-head" }, make("span", { text: language }), button);
  const pre = make("pre", { tabindex: "0" }, make("code", { text: code }));
  return make("div", { class: "code" }, head, pre);
}

const MAKERS = {
  code: ({ code, language }) => codeBlock(code, language),
  heading: ({ level, text }, cite) => make(`h${Math.min(6, level + 2)}`, {}, ...inline(text, cite)),
  rule: () => make("hr"),
  quote: ({ blocks }, cite) => make("blockquote", {}, ...blocks.map((block) => elementOf(block, cite))),
  paragraph: ({ text }, cite) => make("p", {}, ...inline(text, cite)),
  list: listOf,
  table: tableOf,
};

function elementOf(block, cite) {
  return MAKERS[block.kind](block, cite);
}

function listOf({ isOrdered, start, items }, cite) {
  const children = items.map(({ blocks, isDone }) => {
    const box = isDone === null ? null : make("input", { type: "checkbox", disabled: true, checked: isDone });
    return make("li", { class: box && "task" }, box, ...blocks.flatMap((block) => inItem(block, blocks, cite)));
  });
  return make(isOrdered ? "ol" : "ul", { start: isOrdered && start !== 1 ? start : null }, ...children);
}

/** An item's only paragraph stands without a paragraph's space around it. */
function inItem(block, blocks, cite) {
  const isTight = block.kind === "paragraph" && blocks.filter(({ kind }) => kind === "paragraph").length === 1;
  return isTight ? inline(block.text, cite) : [elementOf(block, cite)];
}

function tableOf({ head, sides, rows }, cite) {
  const row = (cells, tag) =>
    make("tr", {}, ...cells.map((cell, at) => make(tag, { class: sides[at] }, ...inline(cell, cite))));
  const body = make("tbody", {}, ...rows.map((cells) => row(cells, "td")));
  const table = make("table", {}, make("thead", {}, row(head, "th")), body);
  return make("div", { class: "table", tabindex: "0" }, table);
}
