/** How does the page ask and tell apart from the conversation? In dialogs, which keep the focus and give it back. */

import { iconButton, make } from "./dom.js";

/** Open a dialog; it is gone once closed. Gives the dialog. */
export function openDialog(title, content, { kind = "" } = {}) {
  const dialog = make("dialog", { class: kind, "aria-labelledby": "dialog-title" });
  const close = iconButton("close", "close", () => dialog.close());
  const heading = make("h2", { id: "dialog-title", words: title });
  dialog.append(make("header", {}, heading, close), ...content);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close(); // beside it
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Ask for a line of text; `null` where none was given. */
export function askText(title, { value = "", label, hint = null, kind = "text", yes = "save" } = {}) {
  const input = make("input", { type: kind, value, required: true, id: "asked", autocomplete: "off" });
  return ask(title, yes, hint, [make("label", { for: "asked", words: label }), input], () => input.value.trim() || null);
}

/** Ask whether to do it. */
export async function askWhether(title, hint, yes) {
  return (await ask(title, yes, hint, [], () => true)) === true;
}

function ask(title, yes, hint, fields, answer) {
  return new Promise((resolve) => {
    let given = null;
    const cancel = make("button", { type: "button", words: "cancel", onclick: () => dialog.close() });
    const submit = make("button", { type: "submit", class: "main", words: yes });
    const onsubmit = (event) => {
      event.preventDefault();
      given = answer();
      if (given !== null) dialog.close();
    };
    const said = hint === null ? null : make("p", { words: hint });
    const form = make("form", { onsubmit }, said, ...fields, make("div", { class: "row end" }, cancel, submit));
    const dialog = openDialog(title, [form]);
    (form.querySelector("input") ?? submit).focus();
    dialog.addEventListener("close", () => resolve(given));
  });
}
