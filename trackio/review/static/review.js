/** What is reviewed: the video, its tracks as they are now, and where the person is in them. */

import { ApiError } from "./api.js";
import { Blocks } from "./blocks.js";

const LEFT_OPEN = new Set([null, undefined]);

/**
 * The state of the page. Fires `frame`, `tracks` (rows, suspects and log may differ), `choice` (track, range, suspect),
 * and `said` (detail: {text, error}).
 */
export class Review extends EventTarget {
  frame = 0;
  first = null; // of the marked range
  last = null;
  track = null; // chosen track id
  key = null; // of the suspect that is decided now
  direction = 1;
  suspects = [];
  session = null;
  times = null;
  saving = false;
  #turn = Promise.resolve();

  /** @param {import("./api.js").Api} api */
  constructor(api) {
    super();
    this.api = api;
  }

  /** Load what the page starts from. */
  async open() {
    const [session, times] = await Promise.all([this.api.json("/api/session"), this.api.bytes("/api/times")]);
    this.session = session;
    this.times = new Float64Array(times);
    this.boxes = new Blocks(this.count, (first, last) => this.#loadBoxes(first, last), () => this.#fire("frame"));
    this.crops = new Blocks(this.count, (first, last) => this.#loadCrops(first, last), () => this.#fire("frame"));
    await this.#loadSuspects();
    this.key = this.left[0]?.key ?? null;
  }

  /** Number of frames. */
  get count() { return this.session.video.frame_count; }

  /** Number of records in the log. */
  get revision() { return this.session.revision; }

  /** Names of the main persons. */
  get persons() { return this.session.persons; }

  /** Ends when all edits that were asked for are written and shown. */
  get settled() { return this.#turn; }

  /** Suspects that nobody has decided. */
  get left() { return this.suspects.filter((suspect) => LEFT_OPEN.has(suspect.state)); }

  /** The suspect that is decided now. */
  get suspect() { return this.suspects.find((suspect) => suspect.key === this.key) ?? null; }

  /** The marked range, if both its ends are set. */
  get range() {
    if (this.first === null || this.last === null) return null;
    return { first: Math.min(this.first, this.last), last: Math.max(this.first, this.last) };
  }

  /** Rows of a frame: `{id, person, side, box, origin, score}`; empty as long as they are on their way. */
  rows(frame) { return this.boxes.at(frame) ?? []; }

  /** The chosen track's row in the frame that is shown. */
  get chosenRow() { return this.rows(this.frame).find((row) => row.id === this.track) ?? null; }

  /** First and last frame of the shot of `frame`. */
  shot(frame) {
    return this.session.shots.find(([first, last]) => first <= frame && frame <= last) ?? [0, this.count - 1];
  }

  /** `00:01:23.400` of a frame. */
  timecode(frame) {
    const milliseconds = Math.round(this.times[frame] * 1000);
    const part = (unit, size, width) => String(Math.floor(milliseconds / unit) % size).padStart(width, "0");
    return `${part(3600000, 100, 2)}:${part(60000, 60, 2)}:${part(1000, 60, 2)}.${part(1, 1000, 3)}`;
  }

  /** The last frame that has begun at `seconds`. */
  frameAt(seconds) {
    let low = 0;
    let high = this.count - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (this.times[middle] <= seconds + 0.0005) low = middle; // times are rounded to milliseconds in time codes
      else high = middle - 1;
    }
    return low;
  }

  /** Show a frame; one outside the video gives the nearest. */
  seek(frame) {
    const next = Math.max(0, Math.min(this.count - 1, Math.round(frame)));
    if (next === this.frame) return;
    this.direction = next - this.frame;
    this.frame = next;
    this.#fire("frame");
  }

  /** Choose a track, or none with null. */
  choose(track) {
    this.track = track;
    this.#fire("choice");
  }

  /** Choose the next track of the frame that is shown. */
  chooseNext() {
    const ids = this.rows(this.frame).map((row) => row.id);
    if (ids.length === 0) return this.say("No track in this frame.");
    this.choose(ids[(ids.indexOf(this.track) + 1) % ids.length]);
    return this.say(`${rowWords(this.chosenRow)} is chosen.`);
  }

  /** Set an end of the range (`first`, `last`) to the frame that is shown. */
  mark(end) {
    this[end] = this.frame;
    this.#fire("choice");
    this.say(this.range ? `Range: ${this.rangeWords(this.range)}.` : `Range ${end === "first" ? "from" : "to"} frame ${this.frame}.`);
  }

  /** Forget the range and the chosen track. */
  clear() {
    this.first = null;
    this.last = null;
    this.track = null;
    this.#fire("choice");
    this.say("Range and choice are cleared.");
  }

  /** `frames 10 to 99, 00:00:00.400 to 00:00:03.960`. */
  rangeWords({ first, last }) {
    if (first === last) return `frame ${first}, ${this.timecode(first)}`;
    return `frames ${first} to ${last}, ${this.timecode(first)} to ${this.timecode(last)}`;
  }

  /** Go to a suspect. */
  pick(key) {
    this.key = key;
    this.#fire("choice");
    if (this.suspect) this.seek(this.suspect.first_frame);
  }

  /** Go to the next suspect that is open, in the queue's order; `step` -1 for the one before. */
  pickNext(step = 1) {
    const queue = this.left.length ? this.left : this.suspects;
    if (queue.length === 0) return this.say("There is no suspect.");
    const rank = this.suspect?.rank ?? (step > 0 ? -1 : queue.length);
    const onwards = step > 0 ? queue.find((one) => one.rank > rank) : queue.findLast((one) => one.rank < rank);
    this.pick((onwards ?? queue.at(step > 0 ? 0 : -1)).key);
    return this.say(`Suspect ${this.suspect.rank + 1}: ${suspectWords(this.suspect)} at ${this.suspect.start}.`);
  }

  /**
   * Do an operation; saved when this returns.
   * @returns {Promise<object|null>} What the server says of it; null if it was refused, which has been said.
   */
  edit(operation) {
    return this.#inTurn("/api/edit", { operation }, (done) => done.words);
  }

  /** What an operation would do, until `signal` calls the question off. */
  attempt(operation, signal) {
    return this.api.post("/api/edit", { revision: this.revision, operation, dry_run: true }, { signal });
  }

  /** Take the last edit back. */
  undo() {
    return this.#inTurn("/api/undo", {}, (done) => `Undone: ${done.words}`);
  }

  /** Do the edit again that was undone last. */
  redo() {
    return this.#inTurn("/api/redo", {}, (done) => `Done again: ${done.words}`);
  }

  /** Load the tracks as they are now. */
  async reload() {
    this.session = await this.api.json("/api/session");
    await Promise.all([this.#loadSuspects(), this.boxes.renew(this.frame), this.crops.renew(this.frame)]);
    this.#fire("tracks");
  }

  /** Say something to the person: shown in a line, and read out. */
  say(text, error = false) {
    this.dispatchEvent(new CustomEvent("said", { detail: { text, error } }));
  }

  /** Write when all that was asked for before is written: quick keys lose nothing. */
  #inTurn(path, body, words) {
    const written = this.#turn.then(() => this.#write(path, body, words));
    this.#turn = written;
    return written;
  }

  async #write(path, body, words) {
    this.saving = true;
    this.#fire("choice");
    try {
      const before = new Map(this.suspects.map((one) => [one.key, one.state]));
      const done = await this.api.post(path, { revision: this.revision, ...body });
      await this.reload();
      const changed = this.suspects.find((one) => before.get(one.key) !== one.state);
      if (changed && path !== "/api/edit") this.pick(changed.key);
      this.say([`${words(done)}.`, ...done.warnings.map((warning) => `Warning: ${warning}.`)].join(" "));
      return done;
    } catch (error) {
      await this.#explain(error);
      return null;
    } finally {
      this.saving = false;
      this.#fire("choice");
    }
  }

  async #explain(error) {
    if (error instanceof ApiError && error.status === 409) {
      await this.reload();
      this.say("Not done: the tracks were changed elsewhere. They are reloaded; look, and do it again.", true);
    } else {
      this.say(`Not done: ${error.message}`, true);
    }
  }

  async #loadSuspects() {
    this.suspects = (await this.api.json("/api/suspects")).suspects;
  }

  async #loadBoxes(first, last) {
    const { frames } = await this.api.json(`/api/boxes?first=${first}&last=${last}`);
    const made = new Map(Object.entries(frames).map(([frame, rows]) => [Number(frame), rows.map(toRow)]));
    return (frame) => made.get(frame) ?? [];
  }

  async #loadCrops(first, last) {
    const { left = [], right = [] } = await this.api.json(`/api/crops?first=${first}&last=${last}`);
    return (frame) => ({ left: left[frame - first], right: right[frame - first] });
  }

  #fire(name) {
    this.dispatchEvent(new Event(name));
  }
}

function toRow([id, person, side, x1, y1, x2, y2, origin, score]) {
  return { id, person, side, box: [x1, y1, x2, y2], origin, score };
}

/** `A left, track 3`. */
export function rowWords(row) {
  return row.person ? `${[row.person, row.side].filter(Boolean).join(" ")}, track ${row.id}` : `bystander, track ${row.id}`;
}

/** `crossing, 10 %`. */
export function suspectWords(suspect) {
  return `${suspect.kind.replace("_", " ")}, ${percent(suspect.probability)}`;
}

/** `10 %`, `below 1 %`. */
export function percent(share) {
  return share > 0 && share < 0.01 ? "below 1 %" : `${Math.round(share * 100)} %`;
}
