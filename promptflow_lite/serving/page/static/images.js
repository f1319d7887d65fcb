/** How does an image travel? A file becomes the flow's form of an image, and that form becomes an element. */

import { make } from "./dom.js";
import { safeAddress } from "./inline.js";
import { words } from "./words.js";

const BASIC = /^data:(image\/[\w.+*-]*);(base64|url)$/;
const DATA = /^data:image\/[\w.+*-]*;base64,/;
const MOST_MB = 5;
const HEADS = { iVBOR: "image/png", "/9j/": "image/jpeg", R0lGOD: "image/gif", UklGR: "image/webp" };

/** What is wrong with a file, as words of the page; `null` where it is an image of a size that can be sent. */
export function complaintOf(file) {
  if (!file.type.startsWith("image/")) return words("not_an_image", { name: file.name });
  if (file.size > MOST_MB * 1024 * 1024) return words("larger_than", { name: file.name, size: MOST_MB });
  return null;
}

/** A file as an image in the flow's form: `basic` or `openai-vision`. */
export async function imageOf(file, form) {
  const address = await new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
  if (form === "openai-vision") return { type: "image_url", image_url: { url: address } };
  const [head, text] = address.split(",", 2);
  return { [head]: text };
}

/** The address that an image is shown from, if the value is an image. */
export function addressOf(value) {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return null;
  if (value.type === "image_url") return value.image_url?.url ?? null;
  const [[key, text] = ["", ""], ...others] = Object.entries(value);
  const found = BASIC.exec(key);
  if (found === null || others.length > 0 || typeof text !== "string") return null;
  return found[2] === "url" ? text : `data:${typeOf(found[1], text)};base64,${text}`;
}

/** The images anywhere in a value, in order. */
export function imagesIn(value) {
  const address = addressOf(value);
  if (address !== null) return [address];
  return value !== null && typeof value === "object" ? Object.values(value).flatMap(imagesIn) : [];
}

/** An element that shows an image; one that is elsewhere is linked, not fetched. */
export function imageElement(address) {
  if (DATA.test(address)) return make("img", { src: address, alt: words("image"), class: "picture" });
  const safe = safeAddress(address);
  if (safe === null) return make("span", { words: "image" });
  const has = { href: safe, target: "_blank", rel: "noopener noreferrer nofollow" };
  return make("a", { ...has, words: ["image_at", { address }] });
}

/** The value without the bytes of its images, for text and for a store that is full. */
export function withoutImages(value) {
  if (addressOf(value) !== null) return "[image]";
  if (Array.isArray(value)) return value.map(withoutImages);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withoutImages(item)]));
}

function typeOf(type, text) {
  if (!type.includes("*")) return type;
  const head = Object.keys(HEADS).find((begin) => text.startsWith(begin));
  return HEADS[head] ?? "image/png";
}
