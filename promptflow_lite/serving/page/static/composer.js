/** How does a person write a message? In a box that knows Enter, input methods, and images. */

import { icon, iconButton, make } from "./dom.js";
import { addressOf, complaintOf, imageElement, imageOf } from "./images.js";
import { textIn } from "./values.js";

/** The box of a chat. `onsend(question)` says whether it was sent; `onstop()` ends what runs. */
export class Composer {
  constructor(flow, { onsend, onstop, form, tell }) {
    this.flow = flow;
    this.form = form;
    this.images = [];
    this.tell = tell;
    this.onsend = onsend;
    this.onstop = onstop;
    this.takesImages = flow.question?.kind === "list";
    this.element = this.#build();
    this.#listen();
  }

  focus() {
    this.text.focus();
  }

  /** Put a question into the box, to be changed and sent. */
  put(question) {
    this.text.value = textIn(question);
    this.#fit();
    this.focus();
  }

  /** Whether something runs: then it can be stopped, and nothing else sent. */
  set isBusy(value) {
    const had = this.sendButton === document.activeElement || this.stopButton === document.activeElement;
    this.sendButton.hidden = value;
    this.stopButton.hidden = !value;
    if (had) (value ? this.stopButton : this.text).focus();
  }

  #build() {
    this.text = make("textarea", { id: "message", rows: "1", label: "message", placeholder: "message", enterkeyhint: "send" });
    this.sendButton = iconButton("send", "send", null, { type: "submit", class: "main round" });
    this.stopButton = iconButton("stop", "stop", () => this.onstop(), { class: "main round", hidden: true });
    this.preview = make("div", { class: "row preview" });
    const picker = make("input", { type: "file", accept: "image/*", multiple: true, class: "unseen", tabindex: "-1", label: "attach" });
    picker.addEventListener("change", () => {
      this.#take([...picker.files]);
      picker.value = "";
    });
    const attach = this.takesImages && iconButton("image", "attach", () => picker.click());
    const row = make("div", { class: "row box" }, attach, this.takesImages && picker, this.text, this.sendButton, this.stopButton);
    return make("form", { class: "composer", onsubmit: (event) => this.#submit(event) }, this.preview, row);
  }

  #listen() {
    this.text.addEventListener("input", () => this.#fit());
    this.text.addEventListener("keydown", (event) => {
      // While an input method composes, Enter chooses among its words. Safari tells so by the code 229 only.
      const composes = event.isComposing || event.keyCode === 229;
      if (event.key === "Enter" && !event.shiftKey && !composes) this.#submit(event);
      if (event.key === "Escape" && !composes && !this.stopButton.hidden) this.onstop();
    });
    this.text.addEventListener("paste", (event) => {
      const files = [...event.clipboardData.files];
      if (files.length > 0 && this.#take(files)) event.preventDefault();
    });
  }

  /** Take files that were pasted, dropped or chosen; whether there is a place for them. */
  #take(files) {
    if (!this.takesImages && !this.form.fields.some(({ input }) => input.kind === "image")) return false;
    for (const file of files) {
      const complaint = complaintOf(file);
      if (complaint !== null) this.tell(complaint);
      else if (!this.takesImages) this.form.takeImage(file);
      else imageOf(file, this.flow.imageFormat).then((image) => this.#attach(image));
    }
    return true;
  }

  /** Take what was dropped anywhere on the page. */
  drop(files) {
    return this.#take(files);
  }

  #attach(image) {
    this.images.push(image);
    const remove = iconButton("close", "remove", () => {
      this.images.splice(this.images.indexOf(image), 1);
      shown.remove();
      this.focus();
    });
    const shown = make("span", { class: "thumb" }, imageElement(addressOf(image)), remove);
    this.preview.append(shown);
  }

  #submit(event) {
    event.preventDefault();
    const text = this.text.value.trim();
    if ((text === "" && this.images.length === 0) || !this.stopButton.hidden) return;
    if (!this.onsend(this.#question(text))) return;
    this.text.value = "";
    this.images = [];
    this.preview.replaceChildren();
    this.#fit();
  }

  /** Text for a chat input that takes text; otherwise a list of texts and images. */
  #question(text) {
    if (!this.takesImages) return text;
    const said = this.flow.imageFormat === "openai-vision" ? { type: "text", text } : text;
    return [...(text === "" ? [] : [said]), ...this.images];
  }

  #fit() {
    this.text.style.height = "auto";
    this.text.style.height = `${this.text.scrollHeight}px`;
  }
}

/** The place of a flow that is no chat: its form, and a button that runs it. */
export class Runner {
  constructor(form, { onsend, onstop }) {
    this.form = form;
    this.runButton = make("button", { type: "submit", class: "main" }, icon("run"), make("span", { words: "run" }));
    this.stopButton = make("button", { type: "button", class: "main", hidden: true, onclick: onstop }, icon("stop"), make("span", { words: "stop" }));
    const row = make("div", { class: "row end" }, make("span", { class: "hint", words: "run_hint" }), this.runButton, this.stopButton);
    const submit = (event) => {
      event.preventDefault();
      if (this.stopButton.hidden) onsend();
    };
    this.element = make("form", { class: "composer runner", novalidate: true, onsubmit: submit }, form.element, row);
    this.element.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.isComposing) submit(event);
    });
  }

  focus() {
    this.form.fields[0]?.control.focus();
  }

  drop(files) {
    return files.length > 0 && this.form.takeImage(files[0]);
  }

  set isBusy(value) {
    const had = [this.runButton, this.stopButton].includes(document.activeElement);
    this.runButton.hidden = value;
    this.stopButton.hidden = !value;
    if (had) (value ? this.stopButton : this.runButton).focus();
  }
}
