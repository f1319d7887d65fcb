/* What do the runs look like as a whole? Distributions, confusion matrices, curves over k. */

function distributionsSection() {
  if (!DATA.distributions.length) return null;
  return section("distributions", "Distributions", h("div", { class: "charts" }, DATA.distributions.map((one) => {
    const names = RUNS.map((run) => run.name).filter((name) => (one.counts[name] ?? []).some(Boolean));
    const write = one.metric === "seconds" ? seconds : number;
    const spots = one.values ?? one.edges;
    const low = spots[0], high = spots[spots.length - 1];
    return h("figure", {}, h("figcaption", {}, said(one.metric), legend(names)),
      histogram(one, names, { low, high, write, label: `${one.metric}: how many lines have which value, from ${write(low)} to ${write(high)}` }));
  })));
}

function legend(names) {
  return RUNS.length > 1 ? h("span", { class: "legend" }, names.map((name) => runName(name, true))) : null;
}

function curvesSection() {
  if (!DATA.curves.length) return null;
  return section("ranking", "Ranking", h("div", { class: "charts" }, DATA.curves.map((one) =>
    h("figure", {}, h("figcaption", {}, said(one.metric), legend(Object.keys(one.runs))),
      curve(one.runs, `${one.metric}: ${Object.entries(one.runs).map(([name, points]) => `${name} ${points.map(([k, value]) => `${number(value)} at ${k}`).join(", ")}`).join("; ")}`)))));
}

function matricesSection() {
  if (!DATA.matrices.length) return null;
  return section("confusion", "Confusion", h("p", { class: "note" }, "Rows are what is true, columns what was answered. A cell leads to its lines."),
    h("div", { class: "matrices" }, DATA.matrices.map(matrix)));
}

function matrix(one) {
  const totals = one.counts.map((row) => row.reduce((sum, count) => sum + count, 0));
  const right = one.rows.reduce((sum, label, i) => sum + (one.counts[i][one.columns.indexOf(label)] ?? 0), 0);
  const all = totals.reduce((sum, count) => sum + count, 0);
  return h("figure", {}, h("figcaption", {}, runName(one.run), h("small", {}, ` ${number(right)} of ${number(all)} right`)),
    h("div", { class: "scroll" }, h("table", { class: "matrix" },
      h("thead", {}, h("tr", {}, h("th", {}, h("span", { class: "hidden" }, "true label")), one.columns.map((label) => h("th", { scope: "col" }, h("span", {}, said(label)))), h("th", { scope: "col" }, h("span", {}, "recall")))),
      h("tbody", {}, one.rows.map((label, i) => h("tr", {}, h("th", { scope: "row" }, said(label)),
        one.columns.map((column, j) => cell(one, label, column, one.counts[i][j], totals[i])),
        h("td", { class: "recall" }, totals[i] ? `${Math.round((100 * (one.counts[i][one.columns.indexOf(label)] ?? 0)) / totals[i])} %` : "–")))))));
}

function cell(one, label, column, count, total) {
  if (!count) return h("td", { class: "none" }, "0");
  const isRight = label === column;
  const shade = Math.min(4, Math.ceil((4 * count) / total));
  return h("td", { "data-shade": shade, "data-kind": isRight ? "good" : "bad" },
    h("button", { type: "button", "aria-label": `${count} lines: true ${label}, answered ${column}`,
      onclick: () => showLines({ kind: "cell", run: one.run, evaluation: one.evaluation, truth: label, answer: column, rows: one.rows }) }, number(count)));
}
