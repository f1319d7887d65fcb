/** Which sides of the page are open? The conversations on the left, the nodes on the right; on a phone over the page. */

import { choices } from "./store.js";

const NARROW = matchMedia("(max-width: 60rem)");

export class Side {
  /** `button` opens and closes `element`; whether it stands open on a wide screen is remembered under `name`. */
  constructor(name, element, button, isOpenAtFirst) {
    this.name = name;
    this.element = element;
    this.button = button;
    button.addEventListener("click", () => this.turn(!this.isOpen));
    for (const close of element.querySelectorAll(".close-side")) close.addEventListener("click", () => this.turn(false));
    element.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && NARROW.matches && !event.defaultPrevented) this.turn(false);
    });
    NARROW.addEventListener("change", () => this.#settle(isOpenAtFirst));
    this.#settle(isOpenAtFirst);
  }

  /** Open or close it; on a phone the focus goes with it. */
  turn(isOpen) {
    this.#set(isOpen);
    if (!NARROW.matches) choices.set(this.name, isOpen);
    else if (isOpen) this.element.querySelector("button")?.focus();
    else this.button.focus();
  }

  /** Close it where it lies over the page. */
  leave() {
    if (NARROW.matches && this.isOpen) this.#set(false);
  }

  #settle(isOpenAtFirst) {
    this.#set(!NARROW.matches && (choices.get(this.name) ?? isOpenAtFirst));
  }

  #set(isOpen) {
    this.isOpen = isOpen;
    this.element.hidden = !isOpen;
    this.button.setAttribute("aria-expanded", String(isOpen));
    document.body.classList.toggle(`with-${this.name}`, isOpen);
  }
}
