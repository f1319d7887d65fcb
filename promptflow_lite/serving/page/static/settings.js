/** How does the page look and speak? Language and colours, as the browser says until a person chooses. */

import { choices } from "./store.js";
import { preferred, speak } from "./words.js";

/** Wire the two selects; `changed()` is called when the language is another. */
export function settings(language, theme, changed) {
  language.value = preferred(choices.get("language"));
  theme.value = choices.get("theme") ?? "auto";
  speak(language.value);
  colour(theme.value);
  language.addEventListener("change", () => {
    choices.set("language", language.value);
    speak(language.value);
    changed();
  });
  theme.addEventListener("change", () => {
    choices.set("theme", theme.value);
    colour(theme.value);
  });
}

function colour(theme) {
  document.documentElement.dataset.theme = theme;
}
