/** Where are conversations kept? In this browser, each under a key of its own, so that two tabs lose nothing. */

import { withoutImages } from "./images.js";

/** A store that has no room left. */
export class StoreFull extends Error {}

export class Store {
  /** `scope` tells the conversations of one flow from those of another at the same address. */
  constructor(scope) {
    this.prefix = `pf-chat:${scope}:`;
    this.storage = usable();
  }

  /** Whether conversations outlive the tab. */
  get lasts() {
    return this.storage !== memory;
  }

  /** The conversations, the latest first. */
  list() {
    return this.#keys()
      .map((key) => read(this.storage, key))
      .filter((conversation) => Array.isArray(conversation?.turns))
      .sort((one, other) => other.updated - one.updated);
  }

  /** Keep a conversation; whether images of older ones had to go for it. */
  keep(conversation) {
    const key = this.prefix + conversation.id;
    if (this.#write(key, conversation)) return false;
    for (const older of this.list().reverse()) {
      if (older.id === conversation.id) continue;
      this.#write(this.prefix + older.id, withoutImages(older));
      if (this.#write(key, conversation)) return true;
    }
    if (!this.#write(key, withoutImages(conversation))) throw new StoreFull();
    return true;
  }

  remove(id) {
    this.storage.removeItem(this.prefix + id);
  }

  /** Call `changed()` when another tab changes a conversation. */
  watch(changed) {
    addEventListener("storage", ({ key }) => {
      if (key === null || key.startsWith(this.prefix)) changed();
    });
  }

  #keys() {
    return Array.from({ length: this.storage.length }, (_, at) => this.storage.key(at)).filter((key) =>
      key.startsWith(this.prefix),
    );
  }

  #write(key, conversation) {
    try {
      this.storage.setItem(key, JSON.stringify(conversation));
      return true;
    } catch {
      return false; // no room
    }
  }
}

/** What the page remembers of a person's choices: language, colours, whether the panel is open. */
export const choices = {
  get(name) {
    return read(usable(), `pf-page:${name}`);
  },
  set(name, value) {
    try {
      usable().setItem(`pf-page:${name}`, JSON.stringify(value));
    } catch {
      // No room: the choice holds until the page is loaded anew.
    }
  },
};

function read(storage, key) {
  try {
    return JSON.parse(storage.getItem(key));
  } catch {
    return null;
  }
}

/** The browser's store, or one for this tab where there is none (private windows of some browsers). */
function usable() {
  try {
    localStorage.getItem("pf-page:theme");
    return localStorage;
  } catch {
    return memory;
  }
}

class Memory {
  #items = new Map();

  get length() {
    return this.#items.size;
  }

  key(at) {
    return [...this.#items.keys()][at] ?? null;
  }

  getItem(key) {
    return this.#items.get(key) ?? null;
  }

  setItem(key, text) {
    this.#items.set(key, text);
  }

  removeItem(key) {
    this.#items.delete(key);
  }
}

const memory = new Memory();
