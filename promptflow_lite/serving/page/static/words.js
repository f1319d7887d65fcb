/** In which language does the page speak? Elements are bound to words, and say them anew when it changes. */

import { english } from "./english.js";
import { japanese } from "./japanese.js";

const LANGUAGES = { en: english, ja: japanese };
const PLACES = { words: "textContent", placeholder: "placeholder" };
let language = "en";

/** The words of a key; `{name}` in them is one of `values`. */
export function words(key, values = {}) {
  const text = LANGUAGES[language][key] ?? english[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** Let an element say the words of `key`, or of `[key, values]`, as its text, its label or its placeholder. */
export function bind(element, place, key) {
  element.setAttribute(`data-${place}`, JSON.stringify(Array.isArray(key) ? key : [key, {}]));
  say(element, place);
}

/** The reader's language: the one chosen before, or the browser's. */
export function preferred(chosen) {
  if (chosen in LANGUAGES) return chosen;
  return (navigator.language ?? "").toLowerCase().startsWith("ja") ? "ja" : "en";
}

/** Speak another language. */
export function speak(chosen) {
  language = chosen;
  document.documentElement.lang = chosen;
  for (const place of ["words", "label", "placeholder"]) {
    for (const element of document.querySelectorAll(`[data-${place}]`)) say(element, place);
  }
}

/** The language that the page speaks, for dates and numbers. */
export function current() {
  return language;
}

function say(element, place) {
  const attribute = element.getAttribute(`data-${place}`);
  const [key, values] = attribute.startsWith("[") ? JSON.parse(attribute) : [attribute, {}];
  const text = words(key, values);
  if (place in PLACES) {
    element[PLACES[place]] = text;
    return;
  }
  element.setAttribute("aria-label", text);
  if (element.matches("button, summary")) element.title = text;
}
