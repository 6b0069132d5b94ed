/** Single-key shortcuts, which can be switched off, and the keys that need no switch. */

const STORED = "dft-single-keys";

/** Runs actions by key. */
export class Keys {
  #actions = new Map();
  #always = new Map();

  /** Whether keys of one letter, digit or sign are on. */
  get on() { return localStorage.getItem(STORED) !== "off"; }

  /** Switch them off or on; kept for the next time. */
  toggle() {
    localStorage.setItem(STORED, this.on ? "off" : "on");
    this.onToggle(this.on);
  }

  /**
   * Listen.
   * @param {{key: string, run: () => any}[]} actions
   * @param {Record<string, () => any>} always By name of keys that hold no letter alone, such as `Ctrl+z`.
   * @param {(name: string) => boolean} first Is asked before: true if it has used the key.
   */
  listen(actions, always, first) {
    this.#actions = new Map(actions.filter(({ key }) => key).map((action) => [action.key, action]));
    this.#always = new Map(Object.entries(always));
    this.first = first;
    document.addEventListener("keydown", (event) => this.#press(event));
  }

  #press(event) {
    if (document.querySelector("dialog[open]") || event.target.matches("input, select, textarea")) return;
    const name = keyName(event);
    if (pressesButton(event)) return;
    if (this.first(name)) return void event.preventDefault();
    const run = this.#always.get(name) ?? (this.#allowed(event) ? this.#actions.get(name)?.run : undefined);
    if (!run) return;
    event.preventDefault();
    if (!event.repeat || name.includes("Arrow")) run();
  }

  #allowed(event) {
    return this.on || event.key.length > 1 || (event.key === " " && event.target.id === "stage");
  }
}

const pressesButton = (event) => event.target.matches("button, a") && (event.key === " " || event.key === "Enter");

/** `Shift+ArrowLeft`, `Ctrl+Shift+z`, `?`: Shift is named where the key is a letter or has a name. */
function keyName(event) {
  const letter = event.key.length === 1 && event.key.toLowerCase() !== event.key.toUpperCase();
  const shift = event.shiftKey && (letter || event.key.length > 1) ? "Shift+" : "";
  const held = (event.ctrlKey || event.metaKey ? "Ctrl+" : "") + (event.altKey ? "Alt+" : "") + shift;
  return held + (letter ? event.key.toLowerCase() : event.key);
}
