/** How does the page call its server? The schema, a run part by part, and feedback; with the key, if one is asked for. */

import { eventsOf } from "./sse.js";

const KEY = "pf-key";

/** An answer that is an error; `code` and `message` are the server's, or ours where there is no answer. */
export class Refused extends Error {
  constructor(code, message, { status = 0, waitS = null, requestId = null } = {}) {
    super(message);
    Object.assign(this, { code, status, waitS, requestId });
  }
}

export class Service {
  /** `askKey(isWrong)` gives the key that a person typed, or `null`. */
  constructor(base, askKey) {
    this.base = base;
    this.askKey = askKey;
  }

  get hasKey() {
    return sessionStorage.getItem(KEY) !== null;
  }

  forgetKey() {
    sessionStorage.removeItem(KEY);
  }

  /** The endpoint's OpenAPI document. */
  async document() {
    return (await this.#fetch("swagger.json")).json();
  }

  /** Run the flow; yields `{requestId}`, `{node}` as nodes begin and end, and `{outputs}` as they come. */
  async *score(inputs, signal) {
    const response = await this.#fetch("score?nodes=true", {
      ...asJson(inputs, { accept: "text/event-stream" }),
      signal,
    });
    const requestId = response.headers.get("x-request-id");
    yield { requestId };
    try {
      for await (const { name, data } of eventsOf(response.body)) {
        const value = JSON.parse(data);
        if (name === "error") throw new Refused(value.error.code, value.error.message, { status: 200, requestId });
        yield name === "node" ? { node: value } : { outputs: value };
      }
    } catch (error) {
      if (error instanceof Refused || error.name === "AbortError") throw error;
      throw new Refused("error_broken", "", { requestId });
    }
  }

  /** Say how good the answer to an earlier request was. */
  async feedback(requestId, score, comment) {
    await this.#fetch("feedback", asJson({ request_id: requestId, score, comment: comment || null }));
  }

  async #fetch(path, options = {}) {
    for (;;) {
      const key = sessionStorage.getItem(KEY);
      const headers = { ...options.headers, ...(key === null ? {} : { authorization: `Bearer ${key}` }) };
      const response = await this.#answer(path, { ...options, headers });
      if (response.status !== 401) return checked(response);
      const typed = await this.askKey(key !== null);
      if (typed === null) return checked(response);
      sessionStorage.setItem(KEY, typed);
    }
  }

  async #answer(path, options) {
    try {
      return await fetch(new URL(path, this.base), { ...options, credentials: "same-origin", redirect: "error" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Refused("error_server", "");
    }
  }
}

function asJson(value, headers = {}) {
  return {
    method: "POST",
    body: JSON.stringify(value),
    headers: { "content-type": "application/json", ...headers },
  };
}

async function checked(response) {
  if (response.ok) return response;
  const body = await response.json().catch(() => null);
  throw new Refused(body?.error?.code ?? "refused", body?.error?.message ?? `HTTP ${response.status}`, {
    status: response.status,
    waitS: Number(response.headers.get("retry-after")) || null,
    requestId: response.headers.get("x-request-id"),
  });
}
