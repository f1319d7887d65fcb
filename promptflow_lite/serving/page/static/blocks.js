/** Which blocks does a Markdown text have? Plain data with the text that each was read from.
 *
 * What models write: headings, paragraphs, fenced code, lists, tables, quotations, rules. HTML is text.
 */

// No pattern here can match one text in two ways: a model's text must not keep the page busy.
const FENCE = /^ {0,3}(`{3,}(?!.*`)|~{3,})/;
const HEADING = /^ {0,3}(#{1,6})(?: |$)/;
const RULE = /^ {0,3}(?:(?:-\s*){3,}|(?:\*\s*){3,}|(?:_\s*){3,})$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( *)([-*+•]|\d{1,9}[.)])(?:( +)(.*)|)$/;
const DIVIDER = /^\|? *:?-+:? *(?:\| *:?-+:? *)*\|?$/;
const DEEPEST = 6;

/** The blocks, in order; each has its `kind`, its `raw` text, and what it holds. */
export function blocksOf(text, depth = 0) {
  const lines = text.replace(/\r\n?/g, "\n").replace(/\t/g, "    ").split("\n");
  const blocks = [];
  let at = 0;
  while (at < lines.length) {
    if (lines[at].trim() === "") {
      at += 1;
      continue;
    }
    const read = readers.find(({ begins }) => begins(lines, at, depth)) ?? paragraphs;
    const { end, ...block } = read.read(lines, at, depth);
    blocks.push({ ...block, raw: lines.slice(at, end).join("\n") });
    at = end;
  }
  return blocks;
}

const fences = {
  begins: (lines, at) => FENCE.test(lines[at]),
  read(lines, at) {
    const [whole, mark] = FENCE.exec(lines[at]);
    const [language] = lines[at].slice(whole.length).trim().split(" ", 1);
    const indent = lines[at].search(/\S/);
    const closes = (line) => {
      const trimmed = line.trim();
      return trimmed.length >= mark.length && trimmed === mark[0].repeat(trimmed.length);
    };
    let end = at + 1;
    while (end < lines.length && !closes(lines[end])) end += 1;
    const code = lines.slice(at + 1, end).map((line) => line.slice(Math.min(indent, Math.max(0, line.search(/\S|$/)))));
    return { kind: "code", language, code: code.join("\n"), end: Math.min(end + 1, lines.length) };
  },
};

const headings = {
  begins: (lines, at) => HEADING.test(lines[at]),
  read(lines, at) {
    const [whole, marks] = HEADING.exec(lines[at]);
    const text = withoutEnd(lines[at].slice(whole.length).trim());
    return { kind: "heading", level: marks.length, text, end: at + 1 };
  },
};

/** A heading's text without the marks that may close it. */
function withoutEnd(text) {
  let end = text.length;
  while (text[end - 1] === "#") end -= 1;
  return end === 0 || text[end - 1] === " " ? text.slice(0, end).trim() : text;
}

const rules = {
  begins: (lines, at) => RULE.test(lines[at]),
  read: (lines, at) => ({ kind: "rule", end: at + 1 }),
};

const quotes = {
  begins: (lines, at, depth) => depth < DEEPEST && QUOTE.test(lines[at]),
  read(lines, at, depth) {
    let end = at;
    while (end < lines.length && QUOTE.test(lines[end])) end += 1;
    const inside = lines.slice(at, end).map((line) => line.replace(QUOTE, ""));
    return { kind: "quote", blocks: blocksOf(inside.join("\n"), depth + 1), end };
  },
};

const tables = {
  begins: (lines, at) =>
    lines[at].includes("|") &&
    at + 1 < lines.length &&
    lines[at + 1].includes("-") &&
    DIVIDER.test(lines[at + 1].trim()) &&
    cellsOf(lines[at]).length === cellsOf(lines[at + 1]).length,
  read(lines, at) {
    const sides = cellsOf(lines[at + 1]).map((cell) => {
      if (cell.startsWith(":") && cell.endsWith(":")) return "center";
      return cell.endsWith(":") ? "right" : null;
    });
    let end = at + 2;
    while (end < lines.length && lines[end].includes("|")) end += 1;
    const rows = lines.slice(at + 2, end).map((line) => {
      const cells = cellsOf(line);
      return sides.map((_, column) => cells[column] ?? "");
    });
    return { kind: "table", head: cellsOf(lines[at]), sides, rows, end };
  },
};

const lists = {
  begins: (lines, at, depth) => depth < DEEPEST && ITEM.test(lines[at]),
  read(lines, at, depth) {
    const first = ITEM.exec(lines[at]);
    const [isOrdered, outer] = [/\d/.test(first[2]), first[1].length];
    const items = [];
    let end = at;
    while (end < lines.length) {
      const found = ITEM.exec(lines[end]);
      if (found === null || found[1].length > outer + 1 || /\d/.test(found[2]) !== isOrdered) break;
      if (found[1].length < outer || RULE.test(lines[end])) break;
      const stop = itemEnd(lines, end, found[1].length);
      items.push(itemOf(lines.slice(end, stop), found, depth));
      end = stop;
      while (end < lines.length && lines[end].trim() === "") end += 1;
    }
    return { kind: "list", isOrdered, start: parseInt(first[2], 10) || 1, items, end };
  },
};

/** Where an item ends: at the next one beside it, or where a line after a blank one is not indented. */
function itemEnd(lines, at, outer) {
  let end = at + 1;
  let isBlank = false;
  for (; end < lines.length; end += 1) {
    const line = lines[end];
    if (line.trim() === "") {
      isBlank = true;
      continue;
    }
    const indent = line.search(/\S/);
    if (indent > outer + 1) {
      isBlank = false;
      continue;
    }
    if (isBlank || ITEM.test(line) || FENCE.test(line) || HEADING.test(line)) break;
  }
  return end;
}

function itemOf(lines, [, indent, marker, space = " ", text = ""], depth) {
  const inner = indent.length + marker.length + Math.min(space.length, 4);
  const rest = lines.slice(1).map((line) => line.slice(Math.min(inner, Math.max(0, line.search(/\S|$/)))));
  const task = /^\[([ xX])\]\s+(.*)$/.exec(text);
  return {
    isDone: task === null ? null : task[1] !== " ",
    blocks: blocksOf([task === null ? text : task[2], ...rest].join("\n"), depth + 1),
  };
}

function cellsOf(line) {
  const inside = line.trim().replace(/^\|/, "").replace(/(?<!\\)\|$/, "");
  return inside.split(/(?<!\\)\|/).map((cell) => cell.trim().replace(/\\\|/g, "|"));
}

const readers = [fences, headings, rules, quotes, tables, lists];

const paragraphs = {
  read(lines, at, depth) {
    let end = at + 1;
    while (end < lines.length && lines[end].trim() !== "" && !interrupts(lines, end, depth)) end += 1;
    const text = lines.slice(at, end).map((line) => line.trim()).join("\n");
    return { kind: "paragraph", text, end };
  },
};

function interrupts(lines, at, depth) {
  return readers.some(({ begins }) => begins(lines, at, depth));
}
