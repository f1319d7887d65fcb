/* What came of the runs? Their facts, the comparison with its verdicts, the gate, and every figure with its interval. */

function runCards() {
  return h("div", { class: "cards" }, RUNS.map((run) => h("article", { class: "card", "data-run": run.i % 8 },
    h("h2", {}, runName(run.name), " ", badge(STATUS[run.status] ?? "dim", run.status)),
    run.description ? said(run.description, "p") : null,
    run.error ? h("p", { class: "bad" }, said(run.error)) : null,
    facts([
      ["run", run.display_name ? said(run.name) : null],
      ["flow", said(leaf(run.flow), "span", { title: run.flow })],
      ["combination", run.choice && run.choice !== run.display_name && said(run.choice)],
      ["variant", run.variant && said(run.variant)],
      ["data", run.data && said(leaf(run.data), "span", { title: run.data })],
      ["builds on", run.builds_on && said(run.builds_on)],
      ["evaluated by", run.evaluations.length ? said(run.evaluations.join(", ")) : null],
      ["lines", lineCounts(run)],
      ["failures", Object.keys(run.failures).length ? said(Object.entries(run.failures).map(([code, n]) => `${code} ${n}`).join(", ")) : null],
      ["took", seconds(run.seconds)],
      ["a line takes", Object.keys(run.latency).length ? `${seconds(run.latency.p50)} (p90 ${seconds(run.latency.p90)}, p99 ${seconds(run.latency.p99)})` : null],
      ["tokens", run.tokens && number(run.tokens)],
      ["cost", run.cost === null ? null : dollars(run.cost)],
      ["made", moment(run.created)],
      ["tags", Object.keys(run.tags).length ? said(Object.entries(run.tags).map(([k, v]) => `${k}=${v}`).join(", ")) : null],
    ]))));
}

function facts(pairs) {
  return h("dl", { class: "facts" }, pairs.filter(([, value]) => value).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

function leaf(path) {
  const parts = path.split(/[\\/]/).filter(Boolean);
  const last = parts.pop() ?? path;
  return last.startsWith("flow.") && parts.length ? parts.pop() : last;
}

function lineCounts(run) {
  const { total, completed, failed, skipped } = run.lines;
  return [`${number(completed)} of ${number(total)} completed`, failed ? [", ", h("b", { class: "bad" }, `${number(failed)} failed`)] : null, skipped ? `, ${number(skipped)} skipped` : null];
}

function gateSection() {
  if (!DATA.gate.length) return null;
  return section("gate", ["Gate: ", badge(OUTCOME[DATA.outcome], DATA.outcome)],
    h("div", { class: "scroll" }, h("table", { class: "list figures gate" },
      h("thead", {}, h("tr", {}, ["", "run", "rule", "what came of it"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, DATA.gate.map((one) => h("tr", {},
        h("td", {}, badge(OUTCOME[one.outcome], one.outcome)), h("td", {}, runName(one.run)), h("td", {}, said(one.rule)), h("td", {}, said(one.why))))))));
}

function comparisonSection() {
  if (!DATA.comparisons.length) return null;
  const candidates = [...new Set(DATA.comparisons.map((one) => one.candidate))];
  return section("comparison", "Comparison",
    h("p", { class: "note" }, "Each run is held against ", runName(DATA.comparisons[0].baseline),
      " on the lines that both scored: the difference with its 95 % interval",
      candidates.length > 1 ? `, p-values corrected for ${candidates.length} candidates (Holm).` : "."),
    candidates.map((name) => [h("h3", {}, runName(name)), comparisonTable(name), failing(name)]));
}

function comparisonTable(name) {
  const rows = DATA.comparisons.filter((one) => one.candidate === name);
  const columns = ["metric", "verdict", "difference", "", RUN.get(rows[0].baseline).letter, RUN.get(name).letter, "changed lines", "p", "lines"];
  return h("div", { class: "scroll" }, h("table", { class: "list figures" },
    h("thead", {}, h("tr", {}, columns.map((column) => h("th", { scope: "col" }, column)))),
    h("tbody", {}, rows.map((one) => h("tr", {},
      metricHead(one),
      h("td", {}, badge(VERDICT[one.verdict], one.verdict), one.lines_needed ? h("small", { class: "under" }, `about ${number(one.lines_needed)} lines would settle it`) : null),
      h("td", { class: "number", "data-label": "difference" }, h("b", {}, signed(one.difference[0])), h("small", { class: "under" }, interval(one.difference, signed))),
      h("td", { class: "drawn" }, differencePlot(one)),
      h("td", { class: "number", "data-label": columns[4] }, number(one.means[0][0])), h("td", { class: "number", "data-label": columns[5] }, number(one.means[1][0])),
      h("td", { class: "changed" }, changed(one)),
      h("td", { class: "number", "data-label": "p" }, one.p < 0.001 ? "<0.001" : number(one.p)), h("td", { class: "number", "data-label": "lines" }, number(one.pairs)))))));
}

function metricHead(one) {
  return h("th", { scope: "row" }, said(one.metric), one.lower_is_better ? h("small", { class: "under" }, "less is better") : null);
}

function changed(one) {
  const go = (which) => () => showLines({ kind: which, run: one.candidate, metric: one.metric });
  const link = (count, which) => (count ? h("button", { class: "link", type: "button", onclick: go(which) }, `${number(count)} ${which}`) : `0 ${which}`);
  return [link(one.better, "better"), h("br"), link(one.worse, "worse")];
}

function differencePlot(one) {
  const [value, low, high] = one.difference;
  const reach = Math.max(...[value, low, high, one.margin ?? 0].map((end) => Math.abs(end ?? 0))) * 1.15 || 1;
  const margin = one.margin ? [one.lower_is_better ? one.margin : -one.margin] : [];
  return whiskers([{ run: RUN.get(one.candidate).i, estimate: one.difference }], {
    low: -reach, high: reach, zero: 0, marks: margin,
    label: `${one.metric}: difference ${signed(value)}, from ${signed(low)} to ${signed(high)}`,
  });
}

function failing(name) {
  const found = DATA.failing.find((one) => one.run === name);
  if (!found || (!found.newly.length && !found.no_longer.length)) return null;
  const list = (lines, words, kind) => (lines.length
    ? h("li", {}, h("button", { class: "link", type: "button", onclick: () => showLines({ kind, run: name }) }, `${number(lines.length)} ${words}`), `: ${lines.slice(0, 12).join(", ")}${lines.length > 12 ? ", …" : ""}`)
    : null);
  return h("ul", { class: "failing" }, list(found.newly, "newly failing", "newly"), list(found.no_longer, "no longer failing", "no longer"));
}

function figuresSection() {
  if (!DATA.figures.length) return null;
  const isDetail = (one) => one.metric.includes("/");
  const main = DATA.figures.filter((one) => !isDetail(one)), rest = DATA.figures.filter(isDetail);
  return section("figures", "Figures",
    h("p", { class: "note" }, "Means over the lines that were scored, with 95 % intervals where lines have scores; other figures are as they were logged."),
    figuresTable(main),
    rest.length ? h("details", {}, h("summary", {}, `${rest.length} more figures`), figuresTable(rest)) : null);
}

function figuresTable(rows) {
  return h("div", { class: "scroll" }, h("table", { class: "list figures" },
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "metric"), RUNS.map((run) => h("th", { scope: "col", class: "number" }, runName(run.name))), h("th", { scope: "col" }, "95 % interval"))),
    h("tbody", {}, rows.map((one) => h("tr", {},
      metricHead(one),
      RUNS.map((run) => figureCell(one, run.name)),
      h("td", { class: "drawn" }, figurePlot(one)))))));
}

function figureCell(one, name) {
  const estimate = one.runs[name];
  if (!estimate) return h("td", { class: "number", "data-label": RUN.get(name).letter }, "–");
  const write = isSeconds(one.metric) ? seconds : one.metric === "cost" ? dollars : number;
  const lines = one.scored[name];
  return h("td", { class: "number", "data-label": RUNS.length > 1 ? RUN.get(name).letter : undefined, title: lines === undefined ? undefined : `${number(lines)} lines` }, h("b", {}, write(estimate[0])),
    estimate[1] === estimate[2] ? null : h("small", { class: "under" }, interval(estimate, write)));
}

function figurePlot(one) {
  const rows = RUNS.filter((run) => one.runs[run.name]).map((run) => ({ run: run.i, estimate: one.runs[run.name] }));
  const ends = rows.flatMap(({ estimate }) => estimate).filter((end) => end !== null);
  const isShare = ends.every((end) => end >= 0 && end <= 1);
  const isPoint = rows.every(({ estimate: [, low, high] }) => low === high);
  if (isPoint && (!isShare || ends.every(Number.isInteger))) return null;
  const low = isShare ? 0 : Math.min(0, ...ends), high = isShare ? 1 : Math.max(...ends) * 1.08;
  const words = rows.map(({ run, estimate }) => `${RUNS[run].name} ${number(estimate[0])} (${interval(estimate)})`);
  return whiskers(rows, { low, high, label: `${one.metric}: ${words.join("; ")}` });
}
