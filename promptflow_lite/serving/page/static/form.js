/** How are a flow's inputs asked for? As fields of their types, with defaults and choices. */

import { icon, make } from "./dom.js";
import { addressOf, complaintOf, imageElement, imageOf } from "./images.js";
import { words } from "./words.js";

/** Fields for inputs; `element` holds them. */
export class Form {
  constructor(inputs, imageForm) {
    this.fields = inputs.map((input) => fieldOf(input, imageForm));
    this.element = make("div", { class: "fields" }, ...this.fields.map((field) => field.element));
  }

  get isEmpty() {
    return this.fields.length === 0;
  }

  /** Whether a field has to be filled in before the flow can run. */
  get isNeeded() {
    return this.fields.some(({ input }) => input.isRequired);
  }

  /** The values by name, without those that are the default; `null` where one is wrong, and then it says so. */
  values() {
    const read = this.fields.map((field) => [field, field.check()]);
    const wrong = read.filter(([, { complaint }]) => complaint);
    if (wrong.length > 0) {
      this.element.closest("details")?.setAttribute("open", "");
      wrong[0][0].control.focus();
      return null;
    }
    const given = read.filter(([{ input }, { value }]) => value !== undefined && !same(value, input.default));
    return Object.fromEntries(given.map(([{ input }, { value }]) => [input.name, value]));
  }

  /** Put values into the fields; a field without one gets its default. */
  fill(values) {
    for (const { input, put } of this.fields) put(values[input.name] ?? input.default);
  }

  /** Give an image to the first field that takes one; whether there was such a field. */
  takeImage(file) {
    const field = this.fields.find(({ input }) => input.kind === "image");
    field?.takeFile(file);
    return field !== undefined;
  }
}

function fieldOf(input, imageForm) {
  const id = `input-${input.name}`;
  const error = make("p", { class: "error", id: `${id}-error`, hidden: true });
  const { control, element, ...made } = controlOf(input, id, imageForm, error);
  control.setAttribute("aria-describedby", `${id}-about ${id}-error`);
  made.put(input.default);
  const check = () => {
    const { value, complaint } = made.read();
    const missing = value === undefined && input.isRequired ? "input_required" : null;
    const why = complaint ?? missing;
    error.hidden = !why;
    error.textContent = why ? words(why) : "";
    control.setAttribute("aria-invalid", String(Boolean(why)));
    return { value, complaint: why };
  };
  const isNeeded = input.isRequired ? make("span", { class: "needed", words: "input_required" }) : null;
  const kind = input.choices === null ? input.kind : "choice";
  const name = make("label", { for: id }, make("code", { text: input.name }), isNeeded);
  const about = make("p", { class: "hint", id: `${id}-about`, text: input.kind === "image" ? "" : input.description });
  return { input, control, check, ...made, element: make("div", { class: `field ${kind}` }, name, element ?? control, about, error) };
}

function controlOf(input, id, imageForm, error) {
  if (input.choices !== null) return choice(input, id);
  if (input.kind === "image") return picture(id, imageForm, error);
  if (input.kind === "bool") return tick(id);
  if (input.kind === "int" || input.kind === "double") return number(input, id);
  return input.kind === "string" ? text(id) : json(input, id);
}

function choice(input, id) {
  const unset = input.default === undefined ? [make("option", { value: "", words: "input_choose" })] : [];
  const options = input.choices.map((value, at) => make("option", { value: String(at), text: shown(value) }));
  const control = make("select", { id }, ...unset, ...options);
  return {
    control,
    read: () => ({ value: control.value === "" ? undefined : input.choices[Number(control.value)] }),
    put: (value) => {
      const at = input.choices.findIndex((known) => same(known, value));
      control.value = at < 0 ? "" : String(at);
    },
  };
}

function tick(id) {
  const control = make("input", { type: "checkbox", id });
  return {
    control,
    read: () => ({ value: control.checked }),
    put: (value) => {
      control.checked = value === true;
    },
  };
}

function number(input, id) {
  const control = make("input", { type: "number", id, step: input.kind === "int" ? "1" : "any", inputmode: "decimal" });
  return {
    control,
    read: () => {
      if (control.validity.badInput || control.validity.stepMismatch) return { complaint: "input_number" };
      return { value: control.value === "" ? undefined : Number(control.value) };
    },
    put: (value) => {
      control.value = value ?? "";
    },
  };
}

function text(id) {
  const control = make("textarea", { id, rows: "1" });
  return {
    control,
    read: () => ({ value: control.value === "" ? undefined : control.value }),
    put: (value) => {
      control.value = value ?? "";
    },
  };
}

function json(input, id) {
  const control = make("textarea", { id, rows: "1", class: "json", spellcheck: "false" });
  return {
    control,
    read: () => {
      if (control.value.trim() === "") return { value: undefined };
      try {
        const value = JSON.parse(control.value);
        return input.kind === "list" && !Array.isArray(value) ? { complaint: "input_list" } : { value };
      } catch {
        return { complaint: input.kind === "list" ? "input_list" : "input_json" };
      }
    },
    put: (value) => {
      control.value = value === undefined ? "" : JSON.stringify(value);
    },
  };
}

function picture(id, imageForm, error) {
  let value;
  const control = make("input", { type: "file", accept: "image/*", id, onchange: () => takeFile(control.files[0]) });
  const remove = make("button", { type: "button", class: "quiet", label: "remove", onclick: () => put() }, icon("close"));
  const shown = make("div", { class: "row" });
  function put(image) {
    value = image;
    const address = image === undefined ? null : addressOf(image);
    shown.replaceChildren(...(address === null ? [] : [imageElement(address), remove]));
    if (image === undefined) control.value = "";
  }
  async function takeFile(file) {
    if (file === undefined) return;
    const complaint = complaintOf(file);
    error.hidden = complaint === null;
    error.textContent = complaint ?? "";
    if (complaint === null) put(await imageOf(file, imageForm));
  }
  const element = make("div", {}, control, shown);
  return { control, element, read: () => ({ value }), put, takeFile };
}

function shown(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

function same(one, other) {
  return JSON.stringify(one) === JSON.stringify(other);
}
