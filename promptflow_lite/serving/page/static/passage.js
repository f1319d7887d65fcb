/** What does a citation stand on? The passage, beside the conversation. */

import { openDialog } from "./dialog.js";
import { make } from "./dom.js";
import { safeAddress } from "./inline.js";

/** The `[n]` that opens its passage. */
export function citationButton(passage) {
  return make("button", {
    type: "button",
    class: "citation",
    text: String(passage.number),
    label: ["cited", { number: passage.number }],
    onclick: () => openPassage(passage),
  });
}

/** The list of passages under an answer. */
export function sourceList(passages) {
  const items = passages.map((passage) => {
    const number = make("span", { class: "number", text: String(passage.number) });
    const title = make("span", { text: passage.title || passage.text.slice(0, 60) });
    return make("li", {}, make("button", { type: "button", onclick: () => openPassage(passage) }, number, title));
  });
  return make("nav", { class: "sources", label: "sources" }, make("ul", {}, ...items));
}

function openPassage(passage) {
  const { number, title, place, text, quote, address, support } = passage;
  const safe = address ? safeAddress(address) : null;
  const percent = support === null || support === undefined ? null : Math.round(100 * support);
  openDialog(
    ["cited", { number }],
    [
      title && make("p", { class: "where" }, make("strong", { text: title }), place && ` · ${place}`),
      safe && make("p", {}, make("a", { href: safe, target: "_blank", rel: "noopener noreferrer nofollow", text: safe })),
      text ? make("blockquote", { class: "plain" }, ...marked(text, quote)) : make("p", { words: "no_quote" }),
      percent !== null && make("p", { class: "hint", words: ["support", { percent }] }),
    ].filter(Boolean),
    { kind: "side" },
  );
}

function marked(text, quote) {
  const at = quote && quote !== text ? text.indexOf(quote) : -1;
  if (at < 0) return [text];
  return [text.slice(0, at), make("mark", { text: quote }), text.slice(at + quote.length)];
}
