/** Which passage does the `[n]` of an answer stand for? Looked up in the outputs that come with it. */

const NAMES = ["citations", "documents", "passages", "references", "sources", "context", "search"];
const TEXTS = ["text", "content", "page_content", "quote", "chunk", "snippet"];

/** The passage of a number: `{number, title, place, text, quote, address, support}`, or `null`. */
export function passageOf(outputs, number) {
  const lists = Object.entries(outputs)
    .filter(([, value]) => Array.isArray(value) && value.length > 0)
    .sort(([one], [other]) => rank(one) - rank(other));
  const found = lists.map(([name, list]) => itemOf(name, list, number)).filter((item) => item !== null);
  const passages = found.map((item) => read(item, number));
  return merged(passages);
}

/** The passages of all numbers that a text cites, in the order of their numbers. */
export function passagesIn(outputs, text) {
  const numbers = [...text.normalize("NFKC").matchAll(/[[【]\s?(\d{1,3}(?:\s?[,、]\s?\d{1,3})*)\s?[\]】](?!\()/g)];
  const cited = [...new Set(numbers.flatMap(([, inside]) => inside.split(/[,、]/).map(Number)))];
  return cited
    .sort((one, other) => one - other)
    .map((number) => passageOf(outputs, number))
    .filter((passage) => passage !== null);
}

function rank(name) {
  const at = NAMES.findIndex((known) => name.toLowerCase().includes(known));
  return at < 0 ? NAMES.length : at;
}

/** By the number that items say, else by their place; a list of other things, such as scores, has none. */
function itemOf(name, list, number) {
  const numbered = list.filter((item) => Number.isInteger(item?.number));
  if (numbered.length > 0) return numbered.find((item) => item.number === number) ?? null;
  const item = list[number - 1];
  if (typeof item === "string") return item !== "" && rank(name) < NAMES.length ? item : null;
  return item !== null && typeof item === "object" && (textOf(item) || titleOf(item)) ? item : null;
}

function read(item, number) {
  if (typeof item === "string") return { number, title: item.length <= 120 ? item : "", text: item.length > 120 ? item : "" };
  const about = { ...item.metadata, ...item };
  return {
    number,
    title: titleOf(item),
    place: String(about.place ?? about.page ?? ""),
    text: textOf(item),
    quote: typeof item.quote === "string" ? item.quote : "",
    address: typeof about.url === "string" ? about.url : "",
    support: typeof item.support === "number" ? item.support : null,
  };
}

/** What one list does not know, the next may: sources without texts beside documents with them. */
function merged(passages) {
  if (passages.length === 0) return null;
  const whole = { ...passages[0] };
  for (const other of passages.slice(1)) {
    if (whole.title && other.title && whole.title !== other.title) continue;
    for (const [name, value] of Object.entries(other)) whole[name] ||= value;
  }
  return whole;
}

function textOf(item) {
  const name = TEXTS.find((known) => typeof item[known] === "string" && item[known] !== "");
  return name === undefined ? "" : item[name];
}

function titleOf(item) {
  const about = { ...item.metadata, ...item };
  const parts = [about.source ?? about.filepath ?? about.id, about.title ?? about.heading];
  const said = parts.filter((part) => typeof part === "string" && part !== "");
  return said.length === 2 && said[0].endsWith(said[1]) ? said[0] : said.join(" · ");
}
