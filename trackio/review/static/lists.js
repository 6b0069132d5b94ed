/** The lists beside the video: suspects, tracks of this frame, edits; of their three tabs one is shown. */

import { byId, element } from "./dom.js";
import { rowWords, suspectWords } from "./review.js";

const NAMES = ["queue", "here", "log"];
const MARKS = { accepted: "kept", fixed: "fixed", unsure: "unsure" };

/** Fills the lists of a review and changes between them. */
export class Lists {
  #review;
  #entries = [];

  /** @param {import("./review.js").Review} review */
  constructor(review) {
    this.#review = review;
    for (const name of NAMES) {
      byId(`tab-${name}`).addEventListener("click", () => this.#open(name));
      byId(`tab-${name}`).addEventListener("keydown", (event) => this.#walk(event, name));
    }
    for (const event of ["tracks", "choice"]) review.addEventListener(event, () => this.#writeQueue());
    for (const event of ["tracks", "choice", "frame"]) review.addEventListener(event, () => this.#writeHere());
    review.addEventListener("tracks", () => this.load());
  }

  /** Load the log and fill all lists. */
  async load() {
    this.#writeQueue();
    this.#writeHere();
    try {
      this.#entries = (await this.#review.api.json("/api/log")).entries;
    } catch (error) {
      this.#review.say(`The edits cannot be listed: ${error.message}`, true);
    }
    this.#writeLog();
  }

  #open(name) {
    for (const other of NAMES) {
      const chosen = other === name;
      byId(`tab-${other}`).setAttribute("aria-selected", chosen);
      byId(`tab-${other}`).tabIndex = chosen ? 0 : -1;
      byId(other).hidden = !chosen;
    }
    this.#writeHere();
  }

  #walk(event, name) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const next = NAMES.at((NAMES.indexOf(name) + step) % NAMES.length);
    this.#open(next);
    byId(`tab-${next}`).focus();
  }

  #writeQueue() {
    const { suspects, key } = this.#review;
    const rows = suspects.map((one) => element("li", {}, element("button", {
      class: one.state ?? "open", "aria-current": one.key === key ? "true" : false, onclick: () => this.#review.pick(one.key),
    }, element("span", { class: "at" }, one.start), ` ${suspectWords(one)} `, element("span", { class: "mark" }, MARKS[one.state] ?? this.#length(one)))));
    fill("queue", rows, "The analysis found nothing suspect.");
    byId("queue").querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
  }

  #length({ first_frame, last_frame }) {
    const { times } = this.#review;
    return `${(times[Math.min(last_frame + 1, times.length - 1)] - times[first_frame]).toFixed(1)} s`;
  }

  #writeHere() {
    if (byId("here").hidden) return;
    const rows = this.#review.rows(this.#review.frame).map((row) => element("li", {}, element("button", {
      class: row.side ?? (row.person ? "person" : "bystander"), "aria-pressed": String(row.id === this.#review.track),
      onclick: () => this.#review.choose(row.id),
    }, `${rowWords(row)} · ${row.origin}`, element("span", { class: "mark" }, row.score.toFixed(2)))));
    fill("here", rows, "No track in this frame.");
  }

  #writeLog() {
    const rows = this.#entries.toReversed().map((entry) => element("li", {}, element("button", {
      class: entry.in_effect || entry.action !== "do" ? "" : "past", onclick: () => { if (entry.first_frame != null) this.#review.seek(entry.first_frame); },
    }, element("span", { class: "at" }, `${entry.number}`), ` ${entry.words} `,
    element("span", { class: "mark" }, `${entry.author} ${new Date(entry.time).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false })}`))));
    fill("log", rows, "No edits yet. Each is saved at once, in the log beside the track file.");
  }
}

/** Put rows into a list, and the focus back to where it was. */
function fill(id, rows, none) {
  const place = byId(id);
  const focused = [...place.querySelectorAll("button")].indexOf(document.activeElement);
  place.replaceChildren(rows.length ? element("ol", {}, ...rows) : element("p", { class: "none" }, none));
  if (focused >= 0) place.querySelectorAll("button")[focused]?.focus();
}
