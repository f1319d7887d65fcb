/** How good was an answer? A thumb at once, and a comment if there is more to say. */

import { icon, make } from "./dom.js";

/** The thumbs of a turn; `send(score, comment)` tells the server, `keep(feedback)` the history. */
export function feedbackOf(turn, { send, keep }) {
  const status = make("p", { class: "hint", role: "status" });
  const comment = make("textarea", { rows: "2", label: "comment", placeholder: "comment", maxlength: "10000" });
  const form = make(
    "form",
    { class: "feedback", hidden: true, onsubmit: (event) => say(event) },
    comment,
    make("div", { class: "row end" }, make("button", { type: "submit", words: "send_comment" })),
  );
  const thumb = (name, score) =>
    make("button", { type: "button", class: "quiet", label: name, "aria-pressed": "false", onclick: () => rate(score) }, icon(name));
  const thumbs = [thumb("good", 1), thumb("bad", 0)];
  show(turn.feedback?.score);

  function show(score) {
    thumbs.forEach((button, at) => button.setAttribute("aria-pressed", String(score === 1 - at)));
  }

  async function tell(feedback) {
    try {
      await send(feedback.score, feedback.comment);
    } catch (error) {
      status.textContent = "";
      status.append(make("span", { class: "error", words: ["feedback_failed", { why: error.message || error.code }] }));
      return;
    }
    turn.feedback = feedback;
    show(feedback.score);
    keep();
    status.replaceChildren(make("span", { words: "feedback_kept" }));
  }

  async function rate(score) {
    form.hidden = false;
    await tell({ score, comment: turn.feedback?.comment ?? "" });
    comment.focus();
  }

  async function say(event) {
    event.preventDefault();
    await tell({ score: turn.feedback?.score ?? null, comment: comment.value.trim() });
    form.hidden = true;
  }

  return { buttons: thumbs, element: make("div", {}, form, status) };
}
