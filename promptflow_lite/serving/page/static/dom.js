/** How is an element made? From its tag, what it has, and its children; text stays text. */

import { bind } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element. `words`, `label` and `placeholder` name words of the page in the reader's language; `onclick` and
 * the like listen; `null` and `false` leave a thing out.
 */
export function make(tag, has = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(has)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "words" || name === "label" || name === "placeholder") bind(element, name, value);
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "text") element[name === "text" ? "textContent" : name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** One of the icons of index.html. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

/** A button with an icon, and words for those who do not see it. */
export function iconButton(name, label, onclick, has = {}) {
  return make("button", { type: "button", class: "quiet", label, onclick, ...has }, icon(name));
}

/** Say for a moment at the button that it did what it does. */
export async function copyText(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    if (!copyBySelection(text)) return;
  }
  button.classList.add("done");
  setTimeout(() => button.classList.remove("done"), 1200);
}

/** Without TLS a page beyond loopback has no clipboard; the old way still works there. */
function copyBySelection(text) {
  const area = make("textarea", { class: "unseen", value: text });
  const before = document.activeElement;
  (document.querySelector("dialog[open]") ?? document.body).append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  before?.focus();
  return done;
}

/** Offer text as a file to keep. */
export function download(name, kind, text) {
  const address = URL.createObjectURL(new Blob([text], { type: kind }));
  make("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
