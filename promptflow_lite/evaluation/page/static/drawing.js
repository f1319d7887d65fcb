/* How is a figure drawn? Intervals on a line, bars, curves: SVG of our own, each with words for who cannot see it. */

/** A scale from numbers to pixels. */
function scale(low, high, from, to) {
  const span = high - low || 1;
  return (value) => from + ((value - low) / span) * (to - from);
}

/** Round numbers, about `count` of them, between two numbers. */
function ticks(low, high, count = 4) {
  const raw = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= raw);
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9) * step; at <= high + step * 1e-9; at += step) found.push(Number(at.toPrecision(12)));
  return found;
}

/** Dots with whiskers, one row an estimate: `[{run, estimate: [value, low, high]}]`. */
function whiskers(rows, { low, high, zero, marks = [], label }) {
  const width = 260, height = rows.length * 14 + 18;
  const x = scale(low, high, 10, width - 10);
  const inside = (value, otherwise) => x(Math.min(high, Math.max(low, value ?? otherwise)));
  return s("svg", { class: "plot", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label },
    ticks(low, high, 4).map((at) => [
      s("line", { class: "grid", x1: x(at), x2: x(at), y1: 0, y2: height - 14 }),
      s("text", { class: "tick", x: x(at), y: height - 3, "text-anchor": "middle" }, number(at)),
    ]),
    zero !== undefined && zero >= low && zero <= high ? s("line", { class: "zero", x1: x(zero), x2: x(zero), y1: 0, y2: height - 14 }) : null,
    marks.filter((at) => at >= low && at <= high).map((at) => s("line", { class: "mark", x1: x(at), x2: x(at), y1: 0, y2: height - 14 })),
    rows.map(({ run, estimate: [value, from, to] }, i) => {
      const y = i * 14 + 8, left = inside(from, low), right = inside(to, high);
      return s("g", { class: "whisker", "data-run": run % 8 },
        s("line", { x1: left, x2: right, y1: y, y2: y }),
        from === null ? null : s("line", { x1: left, x2: left, y1: y - 4, y2: y + 4 }),
        to === null ? null : s("line", { x1: right, x2: right, y1: y - 4, y2: y + 4 }),
        s("circle", { cx: inside(value, low), cy: y, r: 4 }));
    }));
}

/** Bars, one run on top of the other with a base line each. */
function histogram({ edges, values, counts }, names, { low, high, write, label }) {
  const width = 300, row = 54, bottom = 16;
  const height = names.length * row + bottom;
  const most = Math.max(1, ...names.flatMap((name) => counts[name] ?? [0]));
  const n = values ? values.length : edges.length - 1;
  const x = scale(0, n, 4, width - 4);
  const shown = values
    ? values.map((value, i) => [x(i + 0.5), write(value)])
    : ticks(low, high, 4).map((at) => [x(scale(edges[0], edges[n], 0, n)(at)), write(at)]);
  return s("svg", { class: "plot wide", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label },
    names.map((name, i) => s("g", { class: "bars", "data-run": RUN.get(name).i % 8 },
      (counts[name] ?? []).map((count, bin) => {
        const tall = (count / most) * (row - 8);
        const what = values ? write(values[bin]) : `${write(edges[bin])} to ${write(edges[bin + 1])}`;
        return s("rect", { x: x(bin) + 0.75, width: Math.max(0.5, x(bin + 1) - x(bin) - 1.5), y: (i + 1) * row - tall, height: tall }, s("title", {}, `${what}: ${count}`));
      }),
      s("line", { class: "base", x1: 0, x2: width, y1: (i + 1) * row + 0.5, y2: (i + 1) * row + 0.5 }))),
    thin(shown, 34).map(([at, words]) => s("text", { class: "tick", x: at, y: height - 3, "text-anchor": at < 12 ? "start" : at > width - 12 ? "end" : "middle" }, words)));
}

/** Of labels `[pixel, words]` those that do not run into each other. */
function thin(labels, room) {
  let last = -Infinity;
  return labels.filter(([at]) => at - last >= room && ((last = at), true));
}

/** Curves over k with their intervals: `{run: [[k, value, low, high]]}`. */
function curve(byRun, label) {
  const width = 320, height = 180, left = 34, bottom = 26;
  const points = Object.values(byRun).flat();
  const ks = [...new Set(points.map(([k]) => k))].sort((a, b) => a - b);
  const top = Math.max(1, ...points.map(([, value]) => value));
  const x = scale(0, Math.max(1, ks.length - 1), left + 8, width - 10);
  const y = scale(0, top, height - bottom, 8);
  const at = (k) => x(ks.indexOf(k));
  return s("svg", { class: "plot wide", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label },
    ticks(0, top, 4).map((value) => [
      s("line", { class: "grid", x1: left, x2: width, y1: y(value), y2: y(value) }),
      s("text", { class: "tick", x: left - 4, y: y(value) + 3.5, "text-anchor": "end" }, number(value)),
    ]),
    ks.map((k) => s("text", { class: "tick", x: at(k), y: height - 10, "text-anchor": "middle" }, `k=${k}`)),
    Object.entries(byRun).map(([name, run]) => s("g", { class: "curve", "data-run": RUN.get(name).i % 8 },
      s("polyline", { points: run.map(([k, value]) => `${at(k)},${y(value)}`).join(" ") }),
      run.map(([k, value, low, high]) => [
        s("line", { class: "whisk", x1: at(k), x2: at(k), y1: y(low), y2: y(high) }),
        s("circle", { cx: at(k), cy: y(value), r: 3.5 }, s("title", {}, `${name}, k = ${k}: ${number(value)} (${interval([value, low, high])})`)),
      ]))));
}
