/* What is on the page, in which order, and what do its controls do? */

const BODY = h("tbody", {});
const COUNT = h("p", { class: "note", role: "status" });
const MORE = h("button", { type: "button", class: "more", onclick: () => more() });
const HEAD = h("tr", {});
const CHOICE = h("select", { id: "filter", onchange: (event) => ask({ filter: filters()[event.target.value][1] }) });
const CUSTOM = h("span", { class: "custom" });

function linesSection() {
  const search = h("input", { id: "search", type: "search", autocomplete: "off", spellcheck: "false", placeholder: "words in inputs, answers, errors", oninput: later(() => ask({ words: plain(search.value).split(/\s+/).filter(Boolean) }), 120) });
  const metric = h("select", { id: "metric", onchange: (event) => ask({ metric: event.target.value }) }, METRICS.map((name) => h("option", { value: name, selected: name === asked.metric, dir: "auto" }, name)));
  return h("section", { id: "lines", "aria-labelledby": "lines-title" }, h("h2", { id: "lines-title" }, "Lines"),
    h("div", { class: "controls", role: "search" },
      h("label", { for: "search" }, "Search ", search),
      h("label", { for: "filter" }, "Show ", CHOICE),
      RUNS.length > 1 && METRICS.length ? h("label", { for: "metric" }, "Score ", metric) : null, CUSTOM),
    COUNT,
    h("div", { class: "scroll" }, h("table", { class: "lines", "data-runs": Math.min(RUNS.length, 4) }, h("caption", { class: "hidden" }, "Lines; the column heads sort, a line's number opens it"), h("thead", {}, HEAD), BODY)),
    MORE);
}

function later(act, wait) {
  let timer;
  return () => { clearTimeout(timer); timer = setTimeout(act, wait); };
}

/** Ask for other lines, and draw them. */
function ask(changes) {
  Object.assign(asked, changes, { shown: SLICE });
  drawHead();
  drawFilters();
  drawRows();
}

function showLines(filter) {
  if (filter.metric && METRICS.includes(filter.metric)) {
    asked.metric = filter.metric;
    const select = document.getElementById("metric");
    if (select) select.value = filter.metric;
  }
  ask({ filter });
  document.getElementById("lines").scrollIntoView();
  BODY.querySelector("a")?.focus({ preventScroll: true });
}

function drawHead() {
  HEAD.replaceChildren(...columns().map(([by, words]) => {
    const isSorted = asked.by === by;
    const sort = isSorted ? (asked.isDown ? "descending" : "ascending") : undefined;
    return h("th", { scope: "col", "aria-sort": sort, class: by.startsWith("score:") ? "number" : undefined, "data-column": by },
      h("button", { type: "button", class: "sort", "data-by": by, onclick: () => { ask({ by, isDown: isSorted && !asked.isDown }); HEAD.querySelector(`[data-by="${CSS.escape(by)}"]`).focus(); } }, words, h("span", { "aria-hidden": "true" }, isSorted ? (asked.isDown ? " ▼" : " ▲") : "")));
  }));
}

function drawFilters() {
  const { filter } = asked;
  const all = filters();
  const at = all.findIndex(([, one]) => key(one) === key(filter));
  CHOICE.replaceChildren(...all.map(([words, one], i) => {
    const count = DATA.lines.filter((line) => KINDS[one.kind](line, one)).length;
    return h("option", { value: i, selected: i === at, disabled: !count && i !== at && i > 0 }, `${words} (${number(count)})`);
  }), ...(at < 0 ? [h("option", { selected: true, disabled: true }, "One cell of the matrix")] : []));
  const clear = h("button", { type: "button", onclick: () => ask({ filter: { kind: "all" } }) }, "All lines");
  CUSTOM.replaceChildren(...(filter.kind === "cell" ? [runName(filter.run), " true ", said(filter.truth, "b"), ", answered ", said(filter.answer, "b"), " ", clear] : []));
}

let LISTED = [];
function drawRows() {
  LISTED = matching();
  BODY.replaceChildren();
  asked.shown = 0;
  more();
}

function more(count = SLICE) {
  BODY.append(...LISTED.slice(asked.shown, asked.shown + count).map(row));
  asked.shown = Math.min(asked.shown + count, LISTED.length);
  const left = LISTED.length - asked.shown;
  MORE.hidden = !left;
  MORE.textContent = words(`Show ${Math.min(SLICE, left)} more of ${number(left)}`);
  COUNT.textContent = words(LISTED.length ? `${number(LISTED.length)} of ${number(DATA.lines.length)} lines` : "No line is like that.");
}

function top() {
  const parts = [["gate", "Gate"], ["comparison", "Comparison"], ["figures", "Figures"], ["confusion", "Confusion"], ["ranking", "Ranking"], ["distributions", "Distributions"], ["lines", "Lines"]];
  const theme = h("button", { type: "button", class: "theme", onclick: () => turn() }, "Light or dark");
  document.getElementById("top").append(
    h("h1", {}, RUNS.length > 1 ? titled() : said(DATA.title)),
    h("nav", { "aria-label": "Parts of this report" }, parts.filter(([id]) => document.getElementById(id)).map(([id, words]) => h("a", { href: `#${id}` }, words)), theme));
}

function titled() {
  const listed = (runs) => runs.map((run, i) => [i ? ", " : "", runName(run.name)]);
  return DATA.comparisons.length ? [listed(RUNS.slice(1)), " against ", runName(BASELINE)] : listed(RUNS);
}

function turn() {
  const root = document.documentElement;
  const isDark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = isDark ? "light" : "dark";
}

document.getElementById("page").append(...[
  DATA.notes.length ? h("ul", { class: "notes" }, DATA.notes.map((note) => said(note, "li"))) : null,
  gateSection(), runCards(), comparisonSection(), figuresSection(), matricesSection(), curvesSection(), distributionsSection(), linesSection(),
  h("footer", { class: "note" }, `Written by promptflow_lite on ${moment(DATA.made)}. This file loads nothing from elsewhere.`),
].filter(Boolean));
top();
ask({});
new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && !MORE.hidden && more(), { rootMargin: "400px" }).observe(MORE);
addEventListener("hashchange", followAddress);
addEventListener("beforeprint", () => more(1000));
addEventListener("keydown", (event) => {
  if (event.key === "/" && !DIALOG.open && !/^(INPUT|SELECT)$/.test(event.target.tagName)) {
    event.preventDefault();
    document.getElementById("search").focus();
  }
});
followAddress();
