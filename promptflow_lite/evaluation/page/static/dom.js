/* How is the page built? Of nodes, never of markup: whatever comes from a run becomes a text node.

   All parts share one scope; document.py joins them in order. */

const DATA = JSON.parse(document.getElementById("data").textContent);

const KANA = /[\u3040-\u30ff\uff66-\uff9f]/;
const HAN = /[\u3400-\u9fff\uf900-\ufaff]/;
/** Whether Han characters are Japanese ones here: some text of the page has kana. */
const IS_JAPANESE = DATA.texts.some((text) => KANA.test(text));

/** Attributes that are read out or shown. */
const SPOKEN = new Set(["aria-label", "placeholder", "data-label"]);

/** A node; `facts` are attributes, or listeners as `onclick`; children are nodes or become text,
    in the reader's language unless `dir` says that a stranger wrote it. */
function h(tag, facts, ...children) {
  return fill(document.createElement(tag), facts, children);
}

/** The same for a drawing. */
function s(tag, facts, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), facts, children);
}

function fill(node, facts, children) {
  for (const [name, value] of Object.entries(facts ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : SPOKEN.has(name) ? words(value) : value);
  }
  const isSaid = facts?.dir === "auto" || /^(del|ins|title)$/i.test(node.tagName);
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined).map((child) => (isSaid ? child : words(child))));
  return node;
}

/** The text of a number of the page's texts. */
function text(index) {
  return index === undefined || index === null ? "" : DATA.texts[index];
}

/** The language that decides how a text's characters look and break. */
function language(string) {
  return KANA.test(string) || (IS_JAPANESE && HAN.test(string)) ? "ja" : undefined;
}

/** A stranger's text in a node of its own: its direction and language stay inside. */
function said(string, tag = "span", facts = {}) {
  return h(tag, { ...facts, dir: "auto", lang: language(string) }, string);
}

/** A scrollable block of text, reachable by keyboard where it is long. */
function block(string, label) {
  const isLong = string.length > 600 || string.split("\n").length > 12;
  return said(string, "pre", { class: "block", tabindex: isLong ? 0 : undefined, "aria-label": isLong ? label : undefined, role: isLong ? "region" : undefined });
}

function section(id, title, ...children) {
  return h("section", { id, "aria-labelledby": `${id}-title` }, h("h2", { id: `${id}-title` }, title), children);
}
