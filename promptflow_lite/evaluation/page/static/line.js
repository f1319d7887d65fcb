/* What is there to one line? A dialog with what went in, the answers side by side, and each run's timeline. */

const DIALOG = document.getElementById("line");
const PLACE = new Map(DATA.lines.map((line, i) => [line.name, i]));

/** Open the line that the address names, or close the dialog where it names none. */
function followAddress() {
  const match = /^#line=(.*)$/.exec(location.hash);
  const at = match ? PLACE.get(decodeURIComponent(match[1])) : undefined;
  if (at !== undefined) showLine(DATA.lines[at]);
  else if (DIALOG.open) DIALOG.close();
}

function addressOf(line) {
  return `#line=${encodeURIComponent(line.name)}`;
}

/** What is shown of outputs that is not shown as a conversation. */
function others(found) {
  if (!found?.turns) return found?.outputs;
  const last = found.turns.at(-1);
  return Object.fromEntries(Object.entries(found.outputs ?? {}).filter(([name, index]) => name !== "turns" && index !== last?.answer));
}

/** A conversation, turn by turn: what was asked, what was answered (by several runs, marked where they differ). */
function conversation(line, names) {
  const runs = names.map((name) => line.runs[name].turns ?? []);
  const count = Math.max(...runs.map((turns) => turns.length));
  return h("ol", { class: "turns" }, Array.from({ length: count }, (_, at) => {
    const turns = runs.map((of) => of[at]);
    const first = turns.find(Boolean);
    const answers = turns.map((turn) => (turn ? text(turn.answer) : undefined));
    const isPair = names.length > 1;
    const parts = isPair && answers.every((one) => one !== undefined) && answers[0] !== answers[1] ? difference(answers[0], answers[1]) : undefined;
    const told = (turn, i) => h("div", { class: "reply" },
      turn ? [parts ? side(parts, i ? "new" : "gone", i ? "ins" : "del") : block(answers[i], "answer"), underTurn(turn)] : h("p", { class: "note" }, "not asked"));
    return h("li", {}, block(text(first.question), "question"),
      first.expected === undefined || first.expected === null ? null : h("div", { class: "wanted" }, h("h4", {}, "Expected"), block(text(first.expected), "expected")),
      h("div", { class: isPair ? "pair" : undefined }, turns.map(told)));
  }));
}

function underTurn(turn) {
  const [given, made] = turn.tokens;
  return h("div", { class: "scores" }, Object.entries(turn.scores).map(([metric, value]) => badge("dim", said(metric), ` ${number(value)}`)),
    h("small", {}, [seconds(turn.seconds), given + made ? `${number(given)}+${number(made)} tokens` : null].filter(Boolean).map(words).join(" · ")));
}

function showLine(line) {
  const [before, after] = neighbours(line);
  const names = RUNS.map((run) => run.name).filter((name) => line.runs[name]);
  DIALOG.replaceChildren(
    h("header", {},
      h("h2", { id: "line-title", tabindex: -1 }, "Line ", said(line.name)),
      h("nav", { "aria-label": "Lines" },
        step("Previous", before, "ArrowLeft"), step("Next", after, "ArrowRight"),
        h("button", { type: "button", onclick: () => DIALOG.close() }, "Close"))),
    h("div", { class: "content" },
      h("div", { class: "given" }, values("Inputs", givenTo(line)),
        line.expected === undefined ? null : [h("h4", {}, "Expected"), block(text(line.expected), "expected")]),
      names.length > 1 ? answersSideBySide(line, names) : null,
      names.map((name) => runOfLine(line, name, names.length === 1))));
  if (!DIALOG.open) DIALOG.showModal();
  DIALOG.scrollTop = 0;
  DIALOG.querySelector("#line-title").focus();
}

function givenTo(line) {
  const isTold = Object.values(line.runs).some((run) => run.turns);
  return isTold ? Object.fromEntries(Object.entries(line.inputs).filter(([name, index]) => name !== "turns" && text(index) !== "[]")) : line.inputs;
}

function neighbours(line) {
  const lines = matching();
  const at = lines.indexOf(line);
  return at < 0 ? [undefined, undefined] : [lines[at - 1], lines[at + 1]];
}

function step(words, line, key) {
  return h("button", { type: "button", disabled: !line, "data-key": key, "aria-keyshortcuts": key, onclick: () => line && location.replace(addressOf(line)) }, words);
}

/** The baseline's answer beside each other one, marked where they differ. */
function answersSideBySide(line, [baseline, ...others]) {
  if ([baseline, ...others].every((name) => answer(line.runs[name]) === answer(line.runs[baseline]) && !line.runs[name].error))
    return h("div", { class: "answers" }, h("h3", {}, "Answers"), h("p", { class: "note" }, "All runs answer the same."),
      h("div", { class: "who" }, [baseline, ...others].map((name) => [runName(name), scoresOf(line, name)])), line.runs[baseline].turns ? conversation(line, [baseline]) : values(null, line.runs[baseline].outputs));
  return h("div", { class: "answers" }, h("h3", {}, "Answers"), others.map((name) => {
    const heads = [baseline, name].map((run) => h("div", { class: "who" }, runName(run), scoresOf(line, run)));
    if (line.runs[baseline].error || line.runs[name].error) return h("div", { class: "pair" }, heads, failedSide(line, baseline, name));
    const isTold = line.runs[baseline].turns && line.runs[name].turns;
    const shown = isTold ? {} : { ...line.runs[baseline].outputs, ...line.runs[name].outputs };
    const keys = Object.keys(shown);
    return h("div", { class: "pair" }, heads, isTold ? h("div", { class: "across" }, conversation(line, [baseline, name])) : null,
      keys.map((key) => {
        const [one, other] = [baseline, name].map((run) => text(line.runs[run].outputs?.[key]));
        const head = h("h4", { class: "across" }, said(key), one === other ? h("small", {}, " the same") : null);
        if (one === other) return [head, h("div", { class: "across" }, block(one, key))];
        const parts = difference(one, other);
        return [head, side(parts, "gone", "del", one), side(parts, "new", "ins", other)];
      }));
  }));
}

/** Where one of both failed there is nothing to mark: why it failed, beside what the other said. */
function failedSide(line, ...names) {
  return names.map((name) => h("div", {}, line.runs[name].error ? errorBlock(line.runs[name].error) : values(null, line.runs[name].outputs)));
}

function scoresOf(line, name) {
  return Object.entries(line.runs[name].scores).filter(([metric]) => !OWN.has(metric)).map(([metric, value]) => scoreBadge(line, name, metric, number(value)));
}

function runOfLine(line, name, isAlone) {
  const found = line.runs[name];
  return h("section", { class: "of-run", "aria-label": name },
    isAlone ? [h("h3", {}, found.turns ? "Conversation" : "Answer"), found.turns ? conversation(line, [name]) : null, found.error ? errorBlock(found.error) : null, h("div", { class: "scores" }, scoresOf(line, name)), values(null, others(found))] : null,
    h("h3", {}, isAlone ? "Trace" : ["Trace of ", runName(name)], " ", badge(STATUS[found.status] ?? "dim", found.status)),
    h("p", { class: "note" }, [seconds(found.seconds), found.tokens[0] + found.tokens[1] ? `${number(found.tokens[0])} tokens in, ${number(found.tokens[1])} out` : null, found.cost === undefined ? null : dollars(found.cost), found.reused ? "from the cache" : null].filter(Boolean).map(words).join(" · ")),
    timeline(found, `Timeline of ${name}`),
    found.evaluations.map((one) => h("details", { class: "evaluation" },
      h("summary", {}, "Evaluation ", said(one.run), " ", Object.entries(one.outputs ?? {}).filter(([name, index]) => index !== null && name !== "turns").map(([key, index]) => badge("dim", said(key), " ", said(brief(text(index)))))),
      one.error ? errorBlock(one.error) : null, values("Inputs", one.inputs), values("Outputs", one.outputs), timeline(one, `Timeline of ${one.run}`))));
}

/** A few characters of a value, numbers rounded. */
function brief(string) {
  return string !== "" && Number.isFinite(Number(string)) ? number(Number(string)) : clipped(string, 40);
}

function clipped(string, most) {
  return string.length > most ? `${string.slice(0, most)}…` : string;
}

DIALOG.addEventListener("close", () => {
  const opener = document.querySelector(`[data-line="${CSS.escape(decodeURIComponent(location.hash.slice(6)))}"]`);
  if (location.hash.startsWith("#line=")) history.replaceState(null, "", "#lines");
  opener?.focus();
});
DIALOG.addEventListener("click", (event) => event.target === DIALOG && DIALOG.close());
DIALOG.addEventListener("keydown", (event) => {
  if (event.target.closest("pre") || event.altKey || event.ctrlKey || event.metaKey) return;
  DIALOG.querySelector(`[data-key="${CSS.escape(event.key)}"]:not(:disabled)`)?.click();
});
