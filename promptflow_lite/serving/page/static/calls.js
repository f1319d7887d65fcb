/** Where is the code for a turn's call? In a dialog, to be copied. */

import { openDialog } from "./dialog.js";
import { download, make } from "./dom.js";
import { codeBlock } from "./markdown.js";
import { snippetsOf } from "./snippets.js";

/** Show how to repeat a call with these inputs. */
export function showCalls(flow, inputs, base, hasKey) {
  const { snippets, isLong } = snippetsOf(flow, inputs, base, hasKey);
  const save = () => download("inputs.json", "application/json", JSON.stringify(inputs));
  openDialog("call", [
    make("p", { class: "hint", words: "call_hint" }),
    ...(isLong ? [make("button", { type: "button", words: "save_inputs", onclick: save })] : []),
    ...snippets.flatMap(({ name, language, code }) => [make("h3", { text: name }), codeBlock(code, language)]),
  ]);
}
