/** The decision card: both people before and after a suspect, as they are kept and as they would be if swapped. */

import { element } from "./dom.js";
import { percent, suspectWords } from "./review.js";

const CROP_PIXELS = 224;
const STATES = { accepted: "kept as it is", fixed: "fixed", unsure: "unsure" };

/** Shows the review's suspect, and decides it. */
export class Card {
  #review;
  #place;
  #shown = null; // key and revision
  #card = null;
  #choice = 0;
  #crops = new Map();

  /**
   * @param {import("./review.js").Review} review
   * @param {HTMLElement} place
   * @param {() => HTMLElement} buttons Makes the buttons that decide.
   */
  constructor(review, place, buttons) {
    this.#review = review;
    this.#place = place;
    this.buttons = buttons;
    review.addEventListener("choice", () => this.show());
    review.addEventListener("tracks", () => this.show());
  }

  /** What a swap would exchange: the card's range, or its next one after `otherRange`. */
  get swap() { return this.#choices[this.#choice % this.#choices.length]; }

  get #choices() {
    return this.#card?.choices ?? [];
  }

  /** The two whom the suspect concerns; fewer if there is one person only. */
  get #pair() {
    return Object.keys(this.#card?.before ?? {}).filter((name) => name !== "frame");
  }

  /** Take the next range that a swap could have. */
  otherRange() {
    if (!this.#review.suspect || !this.#canSwap) return;
    this.#choice += 1;
    this.#write();
    this.#review.say(`Key 2 would swap ${this.#swapWords()}.`);
  }

  /**
   * Decide the suspect, save it, and go on to the next.
   * @param {"accepted"|"fixed"|"unsure"|"open"} state
   * @param {boolean} swap Whether to swap A and B as well: one edit, undone at once.
   */
  async decide(state, swap = false) {
    const { suspect } = this.#review;
    if (!suspect) return this.#review.say("There is no suspect to decide.");
    if (!this.#current()) return this.#review.say("Not yet: the next suspect is still on its way.");
    if (swap && !this.#canSwap) return this.#review.say("There is nobody to swap with.");
    const mark = { op: "mark", kind: suspect.kind, first_frame: suspect.first_frame, last_frame: suspect.last_frame, state };
    const operation = swap ? { op: "batch", operations: [this.#swapOperation(), mark] } : mark;
    if (await this.#review.edit(operation) && state !== "open") this.#moveOn(suspect.rank);
    return undefined;
  }

  /** Load and show the suspect, unless it is shown already. */
  async show() {
    const { suspect, revision } = this.#review;
    if (!suspect) return this.#writeNone();
    const wanted = `${suspect.key} ${revision}`;
    if (wanted === this.#shown) return this.#busy();
    if (this.#shown?.split(" ")[0] !== suspect.key) this.#choice = 0;
    this.#shown = wanted;
    this.#card = null;
    this.#busy();
    try {
      const card = await this.#review.api.json(`/api/suspects/${encodeURIComponent(suspect.key)}/card`);
      if (wanted !== this.#shown) return undefined;
      this.#card = card;
      return this.#write();
    } catch (error) {
      return this.#review.say(`The decision card cannot be shown: ${error.message}`, true);
    }
  }

  get #canSwap() { return this.#pair.length === 2 && this.#choices.length > 0; }

  #current() {
    return !this.#review.saving && this.#card !== null && this.#shown === `${this.#review.suspect.key} ${this.#review.revision}`;
  }

  #moveOn(rank) {
    const { left } = this.#review;
    const next = left.find((one) => one.rank > rank) ?? left[0];
    this.#review.pick(next?.key ?? null);
    if (!next) this.#review.say("Saved. All suspects are decided.");
  }

  #swapOperation() {
    const { first_frame, last_frame } = this.swap;
    return { op: "swap", first_frame, last_frame, persons: this.#pair };
  }

  #swapWords() {
    const { first_frame, last_frame, until } = this.swap;
    return `${this.#pair.join(" and ")} to ${until}, ${this.#review.rangeWords({ first: first_frame, last: last_frame })}`;
  }

  #busy() {
    for (const button of this.#place.querySelectorAll("button")) button.disabled = this.#review.saving || this.#card === null;
  }

  #writeNone() {
    this.#shown = null;
    const text = this.#review.suspects.length ? "All suspects are decided." : "The analysis found nothing suspect.";
    this.#place.replaceChildren(element("h2", { id: "card-title" }, text), element("p", {}, "N and P go through them; the timeline shows the rest."));
  }

  #write() {
    const { suspect, suspects, left } = this.#review;
    const state = suspect.state ? element("span", { class: `state ${suspect.state}` }, STATES[suspect.state]) : null;
    const place = `${suspect.rank + 1} of ${suspects.length} · ${left.length} left`;
    this.#place.replaceChildren(
      element("h2", { id: "card-title" }, suspectWords(suspect), " ", element("span", { class: "at" }, suspect.start), " ", state),
      element("p", { class: "place" }, place),
      element("p", { class: "note" }, this.#note()),
      element("div", { class: "hypotheses" }, this.#hypothesis("Kept", "1", false), this.#canSwap ? this.#hypothesis("Swapped", "2", true) : null),
      this.#canSwap ? element("p", { class: "extent" }, element("kbd", {}, "2"), ` swaps ${this.#swapWords()}`) : "",
      this.buttons(),
    );
    this.#busy();
  }

  #note() {
    const { suspect } = this.#review;
    return this.#card.text || suspect.note || `Something is wrong here with a probability of ${percent(suspect.probability)}.`;
  }

  #hypothesis(title, key, swapped) {
    const { before, after } = this.#card;
    const thens = swapped ? this.#pair.toReversed() : this.#pair;
    const rows = this.#pair.map((person, n) => [person, thens[n]]).map(([person, then]) => element("div", { class: "pair" },
      this.#who(before, person),
      this.#crop(before, person, `${person} before`),
      element("span", { class: "arrow", "aria-hidden": "true" }, "→"),
      this.#crop(after, then, `${person} after, if ${title.toLowerCase()}`)));
    return element("section", { class: "hypothesis", "aria-label": title }, element("h3", {}, element("kbd", {}, key), ` ${title} `, element("span", {}, this.#distance(swapped))), ...rows);
  }

  /** How far the faces are from those of the persons that they would be, in same-person distances. */
  #distance(swapped) {
    const value = this.#review.suspect.evidence?.[swapped ? "distance_swapped" : "distance_kept"];
    return value === undefined ? "" : `distance ${value.toFixed(2)}`;
  }

  /** The name, in the colour of the person's side as soon as that is known. */
  #who(moment, person) {
    const name = element("span", { class: "who" }, person);
    const seen = moment[person];
    if (seen) this.#review.boxes.ready(seen.frame).then((rows) => {
      const side = rows?.find((row) => row.person === person)?.side;
      if (side) name.classList.add(side);
    });
    return name;
  }

  #crop(moment, person, words) {
    const seen = moment[person];
    if (!seen) return element("span", { class: "crop none" }, "not seen");
    const { frame, box } = seen;
    const image = element("img", { class: "crop", alt: `${words}: frame ${frame}`, width: CROP_PIXELS / 2, height: CROP_PIXELS / 2 });
    this.#picture(frame, box).then((url) => { image.src = url; }).catch(() => image.classList.add("none"));
    return image;
  }

  /** The address of a crop, fetched once; the two hypotheses show the same four. */
  #picture(frame, box) {
    const path = `/api/crop/${frame}.jpg?box=${box.map((value) => value.toFixed(1)).join(",")}&size=${CROP_PIXELS}`;
    if (!this.#crops.has(path)) {
      if (this.#crops.size > 64) this.#forget();
      this.#crops.set(path, this.#review.api.blob(path).then((blob) => URL.createObjectURL(blob)));
    }
    return this.#crops.get(path);
  }

  #forget() {
    for (const made of this.#crops.values()) made.then((url) => URL.revokeObjectURL(url)).catch(() => {});
    this.#crops.clear();
  }
}
