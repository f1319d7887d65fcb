/** What does a line of Markdown say? Text, emphasis, code, links and citations, as DOM nodes.
 *
 * Text never becomes markup: each node is made with its text. Searches are bounded, so that no text takes more than
 * linear time.
 */

import { make } from "./dom.js";

const DEEPEST = 8;
const FARTHEST = 3000;
const ESCAPABLE = /[!-/:-@[-`{-~]/;
const SPECIAL = /[\\`*_~[<!\n［【]|https?:\/\//g;
const CITATION = /[[［【]\s?([\d０-９]{1,3}(?:\s?[,、，]\s?[\d０-９]{1,3}){0,9})\s?[\]］】](?!\()/y;
const ADDRESS = /https?:\/\/[^\s<>"'`|　-〟！-｠]{1,2000}/y;
const LINK = /(!?)\[([^\]\n]{0,500})\]\(/y;
const TITLE = /\s{1,9}(?:"[^"\n]{0,300}"|'[^'\n]{0,300}')\s?(?=\))/y;
const BRACKETED = /<(https?:\/\/[^\s<>]{1,2000})>/y;
const BREAK = /<br\s*\/?>/iy;
const MARKS = ["***", "**", "__", "~~", "*", "_"];
const WORD = /[\p{L}\p{N}]/u;

/** The nodes of a text; `cite(number)` gives the element for a citation, or `null` where there is none. */
export function inline(text, cite = () => null, depth = 0) {
  const nodes = [];
  let at = 0;
  let plain = "";
  const flush = () => {
    if (plain !== "") nodes.push(document.createTextNode(plain));
    plain = "";
  };
  while (at < text.length) {
    SPECIAL.lastIndex = at;
    const next = SPECIAL.exec(text);
    const stop = next === null ? text.length : next.index;
    plain += text.slice(at, stop);
    at = stop;
    if (next === null) break;
    const found = special(text, at, cite, depth);
    if (found === null) {
      plain += text[at];
      at += 1;
    } else if (typeof found.node === "string") {
      plain += found.node;
      at = found.end;
    } else {
      flush();
      nodes.push(...[found.node].flat());
      at = found.end;
    }
  }
  flush();
  return nodes;
}

/** The address, if it is one that a link may have. */
export function safeAddress(text) {
  try {
    const address = new URL(text);
    return ["http:", "https:"].includes(address.protocol) ? address.href : null;
  } catch {
    return null;
  }
}

function special(text, at, cite, depth) {
  switch (text[at]) {
    case "\n":
      return { node: make("br"), end: at + 1 };
    case "\\":
      return escaped(text, at);
    case "`":
      return code(text, at);
    case "<":
      return bracketed(text, at);
    case "h":
      return bare(text, at);
    case "!":
    case "[":
    case "［":
    case "【":
      return citation(text, at, cite) ?? link(text, at, cite, depth);
    default:
      return emphasis(text, at, cite, depth);
  }
}

function escaped(text, at) {
  const next = text[at + 1];
  if (next === "\n") return { node: make("br"), end: at + 2 };
  return next !== undefined && ESCAPABLE.test(next) ? { node: next, end: at + 2 } : null;
}

function code(text, at) {
  let size = 1;
  while (text[at + size] === "`") size += 1;
  const mark = "`".repeat(size);
  const near = text.slice(at + size, at + size + FARTHEST);
  for (let end = near.indexOf(mark); end >= 0; end = near.indexOf(mark, end + size)) {
    let after = end;
    while (near[after] === "`") after += 1;
    if (after - end === size) {
      const inside = near.slice(0, end).replace(/\n/g, " ");
      const isPadded = inside.startsWith(" ") && inside.endsWith(" ") && inside.trim() !== "";
      const shown = isPadded ? inside.slice(1, -1) : inside;
      return { node: make("code", { text: shown }), end: at + size + after };
    }
    end = after - size;
  }
  return { node: mark, end: at + size };
}

function bracketed(text, at) {
  BREAK.lastIndex = at;
  const line = BREAK.exec(text);
  if (line !== null) return { node: make("br"), end: BREAK.lastIndex };
  BRACKETED.lastIndex = at;
  const found = BRACKETED.exec(text);
  return found === null ? null : { node: anchor(found[1], [found[1]]), end: BRACKETED.lastIndex };
}

function bare(text, at) {
  ADDRESS.lastIndex = at;
  const found = ADDRESS.exec(text);
  if (found === null) return null;
  let address = found[0].replace(/[.,;:!?*_~]+$/, "");
  while (address.endsWith(")") && !address.includes("(")) address = address.slice(0, -1);
  while (address.endsWith("]") && !address.includes("[")) address = address.slice(0, -1);
  return { node: anchor(address, [address]), end: at + address.length };
}

function citation(text, at, cite) {
  CITATION.lastIndex = at;
  const found = CITATION.exec(text);
  if (found === null) return null;
  const numbers = found[1].normalize("NFKC").split(/[,、]/).map(Number);
  const nodes = numbers.map((number) => cite(number));
  return nodes.some((node) => node === null) ? null : { node: nodes, end: CITATION.lastIndex };
}

/** A link; an image of elsewhere is one too, for it is not fetched. */
function link(text, at, cite, depth) {
  LINK.lastIndex = at;
  const found = LINK.exec(text);
  if (found === null) return null;
  const [, bang, said] = found;
  const [address, end] = addressAt(text, LINK.lastIndex);
  if (address === null) return null;
  const inside = depth < DEEPEST && bang === "" ? inline(said, () => null, depth + 1) : [said];
  const shown = said.trim() === "" ? [address] : inside;
  return { node: anchor(address, shown), end };
}

/** The address in the parentheses that begin before `at`, and where they end. */
function addressAt(text, at) {
  const isBracketed = text[at] === "<";
  const begin = isBracketed ? at + 1 : at;
  let end = begin;
  for (let open = 0; end < text.length && end - begin < FARTHEST; end += 1) {
    if (/[\s<>]/.test(text[end]) || (text[end] === ")" && open === 0)) break;
    if (text[end] === "(") open += 1;
    if (text[end] === ")") open -= 1;
  }
  const address = text.slice(begin, end);
  if (isBracketed && text[end] === ">") end += 1;
  TITLE.lastIndex = end;
  if (TITLE.test(text)) end = TITLE.lastIndex;
  return text[end] === ")" ? [address, end + 1] : [null, at];
}

function anchor(address, shown) {
  const safe = safeAddress(address);
  if (safe === null) return make("span", {}, ...shown);
  return make("a", { href: safe, target: "_blank", rel: "noopener noreferrer nofollow" }, ...shown);
}

function emphasis(text, at, cite, depth) {
  const mark = MARKS.find((known) => text.startsWith(known, at));
  if (mark === undefined || depth >= DEEPEST) return null;
  const begin = at + mark.length;
  const isWordMark = mark[0] === "_";
  if (/\s|^$/.test(text[begin] ?? "")) return { node: mark, end: begin };
  if (isWordMark && at > 0 && WORD.test(text[at - 1])) return { node: mark, end: begin };
  const near = text.slice(begin, begin + FARTHEST);
  for (let end = near.indexOf(mark, 1); end > 0; end = near.indexOf(mark, end + 1)) {
    const after = near[end + mark.length] ?? "";
    const isLonger = after === mark[0] || (near[end - 1] === mark[0] && mark.length === 1);
    if (/\s/.test(near[end - 1]) || near[end - 1] === "\\" || isLonger) continue;
    if (isWordMark && WORD.test(after)) continue;
    const inside = inline(near.slice(0, end), cite, depth + 1);
    return { node: dressed(mark, inside), end: begin + end + mark.length };
  }
  return { node: mark, end: begin };
}

function dressed(mark, inside) {
  if (mark === "***") return make("em", {}, make("strong", {}, ...inside));
  if (mark === "~~") return make("del", {}, ...inside);
  return make(mark.length === 2 ? "strong" : "em", {}, ...inside);
}
