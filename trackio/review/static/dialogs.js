/** Dialogs: a form, what it would do, Enter to do it, Escape to leave it. */

import { element } from "./dom.js";

const PREVIEW_MILLISECONDS = 80;

/**
 * @typedef {{name: string, label: string, kind: "radio"|"check"|"text", options?: {value: string, label: string}[],
 *   value: string|boolean}} Field
 */

/**
 * Ask for values.
 * @param {{title: string, fields: Field[], confirm: string, preview?: (values: object, signal: AbortSignal) => Promise<string>}} question
 *   `preview` says in words what the values would do, and throws if they cannot be; `signal`: nobody waits for it any more.
 * @returns {Promise<object|null>} The values by name, or null if the dialog was left.
 */
export function ask({ title, fields, confirm, preview }) {
  const said = element("p", { class: "preview", "aria-live": "polite" });
  const form = element("form", { method: "dialog" },
    element("h2", { id: "dialog-title" }, title),
    ...fields.map(fieldElement),
    said,
    element("div", { class: "answers" },
      element("button", { type: "submit", class: "main" }, confirm, " ", element("kbd", {}, "Enter")),
      element("button", { type: "button", class: "leave" }, "Cancel ", element("kbd", {}, "Esc"))));
  const dialog = element("dialog", { "aria-labelledby": "dialog-title" }, form);
  document.body.append(dialog);
  const values = () => read(form, fields);
  form.querySelector(".leave").addEventListener("click", () => dialog.close("no"));
  form.addEventListener("keydown", (event) => submitOnEnter(event, form));
  const left = new AbortController();
  if (preview) previewing(form, said, () => preview(values(), left.signal));
  dialog.showModal();
  (form.querySelector("input:checked, input[type=text]") ?? form.querySelector(".main")).focus();
  return new Promise((resolve) => {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      dialog.close("yes");
    });
    dialog.addEventListener("close", () => {
      const answer = dialog.returnValue === "yes" ? values() : null;
      left.abort();
      dialog.remove();
      resolve(answer);
    });
  });
}

/** Show text until the person leaves it. */
export function tell(title, ...content) {
  const dialog = element("dialog", { class: "wide", "aria-labelledby": "dialog-title" },
    element("form", { method: "dialog" },
      element("h2", { id: "dialog-title" }, title), ...content,
      element("div", { class: "answers" }, element("button", { class: "main" }, "Close ", element("kbd", {}, "Esc")))));
  document.body.append(dialog);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.showModal();
  dialog.querySelector("button").focus();
}

/** Enter confirms from every field but a button, which it presses. */
function submitOnEnter(event, form) {
  if (event.key !== "Enter" || event.target.tagName === "BUTTON") return;
  event.preventDefault();
  form.requestSubmit();
}

function previewing(form, said, preview) {
  let asked = 0;
  let timer = null;
  const show = async () => {
    const mine = ++asked;
    let text;
    let wrong = false;
    try {
      text = await preview();
    } catch (error) {
      text = error.message;
      wrong = true;
    }
    if (mine !== asked) return;
    said.textContent = text;
    said.classList.toggle("wrong", wrong);
  };
  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(show, PREVIEW_MILLISECONDS);
  });
  show();
}

function fieldElement({ name, label, kind, options, value }) {
  if (kind === "check") {
    return element("label", { class: "line" }, element("input", { type: "checkbox", name, checked: value }), ` ${label}`);
  }
  if (kind === "text") {
    return element("label", { class: "line" }, `${label} `, element("input", { type: "text", name, value, autocomplete: "off" }));
  }
  return element("fieldset", {}, element("legend", {}, label), ...options.map((option) => element("label", { class: "line" },
    element("input", { type: "radio", name, value: option.value, checked: option.value === value }), ` ${option.label}`)));
}

function read(form, fields) {
  const data = new FormData(form);
  return Object.fromEntries(fields.map(({ name, kind }) => [name, kind === "check" ? data.has(name) : data.get(name)]));
}
