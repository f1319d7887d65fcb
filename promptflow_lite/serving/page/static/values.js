/** How is a value of a flow shown? Text as Markdown, images as pictures, the rest as JSON. */

import { make } from "./dom.js";
import { addressOf, imageElement, imagesIn, withoutImages } from "./images.js";
import { codeBlock, Markdown } from "./markdown.js";

/** The element for an output. */
export function outputElement(value) {
  if (typeof value === "string") return isJson(value) ? codeBlock(pretty(JSON.parse(value)), "json") : markdown(value);
  return plainElement(value);
}

/** The element for a value that people did not write as Markdown, such as an input. */
export function plainElement(value) {
  if (typeof value === "string") return make("div", { class: "plain", text: value });
  const address = addressOf(value);
  if (address !== null) return imageElement(address);
  if (Array.isArray(value) && value.length > 0 && value.some((item) => addressOf(item) !== null)) {
    return make("div", { class: "mixed" }, ...value.map((item) => plainElement(textOf(item) ?? item)));
  }
  if (value === null || typeof value !== "object") return make("code", { text: String(value) });
  const pictures = imagesIn(value).map(imageElement);
  return make("div", {}, codeBlock(pretty(withoutImages(value)), "json"), ...pictures);
}

/** The text of a value: of a question with images, its texts. */
export function textIn(value) {
  if (typeof value === "string") return value;
  if (!Array.isArray(value)) return value === undefined || value === null ? "" : pretty(withoutImages(value));
  return value.map(textOf).filter((text) => text !== null).join("\n");
}

function textOf(part) {
  if (typeof part === "string") return part;
  return part?.type === "text" && typeof part.text === "string" ? part.text : null;
}

function markdown(text) {
  const element = make("div", { class: "markdown" });
  new Markdown(element).show(text);
  return element;
}

function pretty(value) {
  return JSON.stringify(value, null, 2);
}

function isJson(text) {
  if (!/^\s*[{[]/.test(text)) return false;
  try {
    return typeof JSON.parse(text) === "object";
  } catch {
    return false;
  }
}
