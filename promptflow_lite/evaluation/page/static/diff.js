/* How do two texts differ? By words; scripts without spaces by character. */

const PIECES = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}ー々]|[\p{L}\p{N}\p{M}_]+|\s+|[^\p{L}\p{N}\p{M}\s]/gu;
const CELLS = 4_000_000;

function pieces(string) {
  return string.match(PIECES) ?? [];
}

/** `[kind, text]` in order: `same` in both, `gone` only in the first, `new` only in the second. */
function difference(one, other) {
  const a = pieces(one), b = pieces(other);
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  const middle = between(a.slice(start, a.length - end), b.slice(start, b.length - end));
  return joined([["same", a.slice(0, start).join("")], ...middle, ["same", a.slice(a.length - end).join("")]]);
}

/** By the longest common subsequence; texts too long for it are replaced as a whole. */
function between(a, b) {
  if (!a.length || !b.length || a.length * b.length > CELLS) return [["gone", a.join("")], ["new", b.join("")]];
  const width = b.length + 1;
  const longest = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      longest[i * width + j] = a[i] === b[j] ? longest[(i + 1) * width + j + 1] + 1 : Math.max(longest[(i + 1) * width + j], longest[i * width + j + 1]);
  const found = [];
  let i = 0, j = 0;
  while (i < a.length && j < b.length) {
    if (a[i] === b[j]) { found.push(["same", a[i]]); i++; j++; }
    else if (longest[(i + 1) * width + j] >= longest[i * width + j + 1]) found.push(["gone", a[i++]]);
    else found.push(["new", b[j++]]);
  }
  return [...found, ["gone", a.slice(i).join("")], ["new", b.slice(j).join("")]];
}

function joined(parts) {
  const found = [];
  for (const [kind, words] of parts) {
    if (!words) continue;
    const last = found[found.length - 1];
    if (last && last[0] === kind) last[1] += words;
    else found.push([kind, words]);
  }
  return found;
}

/** One side of a difference as a node; `tag` marks what only this side has. */
function side(parts, kind, tag, string) {
  return h("pre", { class: "block", dir: "auto", lang: language(string) },
    parts.filter(([which]) => which === "same" || which === kind).map(([which, words]) => (which === "same" ? words : h(tag, {}, words))));
}
