/** The edits that ask before they are made: what, of which track, in which frames. */

import { ask } from "./dialogs.js";
import { rowWords } from "./review.js";

const NEAR_FRAMES = 50; // how far around the frame tracks are offered
const NEW_BOX_SHARE = 0.2; // of the video's height
const BOTH = [["refuse", "refuse"], ["first", "keep the first's"], ["second", "keep the second's"], ["higher_score", "keep the surer one"]];
const BYSTANDER = "";

/** Questions that lead to edits of a review. */
export class Edits {
  #review;
  #stage;

  /**
   * @param {import("./review.js").Review} review
   * @param {import("./stage.js").Stage} stage
   */
  constructor(review, stage) {
    this.#review = review;
    this.#stage = stage;
  }

  /** Swap two persons: in the marked range, or from here on. */
  swap() {
    const pairs = this.#pairs();
    if (pairs.length === 0) return this.#review.say("There is one person only.");
    const fields = [this.#frames("Frames", ["range", "end", "cut"])];
    if (pairs.length > 1) fields.unshift(radio("pair", "Who", pairs.map((pair) => [pair.join(), pair.join(" and ")])));
    return this.#ask(`Swap ${pairs.length > 1 ? "two persons" : pairs[0].join(" and ")}`, fields, "Swap", (values) => ({
      op: "swap", persons: (values.pair ?? pairs[0].join()).split(","), ...frames(values),
    }));
  }

  /** Say whose a track is. */
  assign() {
    const people = [...this.#review.persons.map((person) => [person, person]), [BYSTANDER, "bystander"]];
    return this.#askTrack("Assign a track", [
      radio("person", "It is", people, this.#review.chosenRow?.person === "A" ? "B" : "A"),
      this.#frames("Frames", ["range", "shot", "end", "cut", "all"]),
      { name: "take", label: "Take the name from another track that has it there", kind: "check", value: false },
    ], "Assign", (values) => ({ op: "assign", track_id: Number(values.track), person: values.person || null, take: values.take, ...frames(values) }));
  }

  /** Say on which side a person is. */
  side() {
    const { persons, chosenRow } = this.#review;
    const person = chosenRow?.person ?? persons[0];
    const now = this.#review.rows(this.#review.frame).find((row) => row.person === person)?.side;
    return this.#ask("Set the side", [
      radio("person", "Who", persons.map((name) => [name, name]), person),
      radio("side", "Side", [["left", "left"], ["right", "right"], ["", "none"]], now === "left" ? "right" : "left"),
      this.#frames("Frames", ["range", "all", "end", "cut", "shot"]),
    ], "Set", (values) => ({ op: "side", person: values.person, side: values.side || null, ...frames(values) }));
  }

  /** Remove a track's boxes. */
  remove() {
    return this.#askTrack("Delete boxes of a track", [this.#frames("Frames", ["range", "here", "shot", "end", "all"])], "Delete",
      (values) => ({ op: "delete", track_id: Number(values.track), ...frames(values) }));
  }

  /** End a track here, and begin a new one. */
  split() {
    const { frame } = this.#review;
    return this.#askTrack(`Split a track before frame ${frame}`, [], "Split", (values) => ({ op: "split", track_id: Number(values.track), frame }));
  }

  /** Make two tracks one. */
  merge() {
    const tracks = this.#tracks();
    if (tracks.length < 2) return this.#review.say("There are not two tracks near this frame.");
    const mine = this.#chosenOf(tracks);
    const others = tracks.filter(([id]) => id !== mine);
    const other = (others.find(([id]) => !this.#here.has(id)) ?? others[0])[0];
    return this.#ask("Merge two tracks", [
      radio("track", "Keep", tracks, mine),
      radio("other", "Merge into it", tracks, other),
      radio("both", "Where both have a box", BOTH),
    ], "Merge", (values) => ({ op: "merge", track_id: Number(values.track), other_id: Number(values.other), both: values.both }));
  }

  /** Say that a person is right here: edits that contradict it warn. */
  anchor() {
    const { persons, chosenRow, frame } = this.#review;
    return this.#ask(`Anchor in frame ${frame}`, [
      radio("person", "Is right here", persons.map((name) => [name, name]), chosenRow?.person ?? persons[0]),
    ], "Anchor", (values) => ({ op: "anchor", frame, person: values.person }));
  }

  /** Fill a track's gaps: shows the boxes first, and does it when they are accepted. */
  async fill() {
    const tracks = this.#tracks();
    if (tracks.length === 0) return this.#review.say("There is no track near this frame.");
    const values = await ask({
      title: "Fill the gaps of a track", confirm: "Show the boxes",
      fields: [radio("track", "Track", tracks, this.#missingOf(tracks)), this.#frames("Frames", ["range", "shot", "all"])],
    });
    if (!values) return undefined;
    const wish = { track_id: Number(values.track), ...frames(values) };
    try {
      const { rows, refused } = await this.#review.api.post("/api/propose", wish);
      return rows.length ? this.#propose(wish, rows, refused) : this.#review.say(`Nothing to fill: ${refused.join("; ") || "no gap there"}.`, true);
    } catch (error) {
      return this.#review.say(`Not done: ${error.message}`, true);
    }
  }

  /** Begin a box: of the chosen track, or a new one. */
  async box() {
    const { chosenRow, persons, frame } = this.#review;
    if (chosenRow) return this.#draft({ id: chosenRow.id, box: chosenRow.box, label: rowWords(chosenRow) });
    const tracks = this.#tracks().filter(([id]) => !this.#here.has(id));
    const whose = [
      ...tracks.map(([id, words]) => [`track ${id}`, `${words} (has no box here)`]),
      ...persons.map((name) => [`new ${name}`, `a new track of ${name}`]),
      ["new ", "a new track of a bystander"],
    ];
    const values = await ask({ title: `Add a box in frame ${frame}`, confirm: "Draw it", fields: [radio("whose", "It is", whose)] });
    if (!values) return undefined;
    const [kind, name] = values.whose.split(" ");
    const label = whose.find(([value]) => value === values.whose)[1].replace(/ \(.*/, "");
    const id = kind === "track" ? Number(name) : null;
    return this.#draft({ id, person: kind === "new" ? name || null : null, box: this.#nearestBox(id) ?? this.#middle(), label });
  }

  /** A box was moved with the pointer: saved at once. */
  moved(id, box) {
    return this.#review.edit({ op: "box", frame: this.#review.frame, box: rounded(box), track_id: id });
  }

  /** Save the box that is drawn, or accept what is proposed. */
  async accept() {
    const { draft } = this.#stage;
    const operation = this.#stage.proposal ? { op: "interpolate", ...this.wish }
      : { op: "box", frame: draft.frame, box: rounded(draft.box), track_id: draft.id ?? null, person: draft.person ?? null };
    if (await this.#review.edit(operation)) this.#end();
  }

  /** Leave what is drawn or proposed. */
  discard() {
    this.#end();
    this.#review.say("Left as it was.");
  }

  /** Whether a box or a proposal waits to be accepted. */
  get waiting() { return Boolean(this.#stage.draft || this.#stage.proposal); }

  #end() {
    this.#stage.draft = null;
    this.#stage.proposal = null;
    this.#stage.draw();
    this.onWait("");
  }

  #draft(draft) {
    this.#stage.begin({ ...draft, frame: this.#review.frame });
    const words = `Box of ${draft.label}: drag it or its corners; arrows move it, with Alt they size it, with Shift by ten.`;
    this.onWait(words);
    this.#review.say(words);
  }

  #propose(wish, rows, refused) {
    this.wish = wish;
    this.#stage.proposal = new Map(rows.map(([frame, ...box]) => [frame, box]));
    const range = { first: rows[0][0], last: rows.at(-1)[0] };
    this.#review.seek(range.first);
    const words = `${rows.length} boxes proposed, ${this.#review.rangeWords(range)}. ${refused.map((why) => `Left: ${why}.`).join(" ")}`;
    this.onWait(words);
    this.#stage.draw();
    this.#review.say(words);
  }

  #middle() {
    const { width, height } = this.#review.session.video;
    const half = height * NEW_BOX_SHARE / 2;
    return [width / 2 - half * 0.8, height / 2 - half, width / 2 + half * 0.8, height / 2 + half];
  }

  #pairs() {
    const { persons } = this.#review;
    return persons.flatMap((one, n) => persons.slice(n + 1).map((other) => [one, other]));
  }

  /** Tracks near the frame, those in it first: `[id, words]`. */
  #tracks() {
    const found = new Map();
    for (const row of this.#near()) if (!found.has(row.id)) found.set(row.id, rowWords(row));
    return [...found].map(([id, words]) => [String(id), words]);
  }

  /** Where a track is, in the frame that is nearest. */
  #nearestBox(id) {
    for (const row of this.#near()) if (row.id === id) return row.box;
    return null;
  }

  /** Rows around the frame, the nearest first. */
  * #near() {
    const { frame } = this.#review;
    for (let away = 0; away <= NEAR_FRAMES; away += 1) {
      for (const near of away ? [frame - away, frame + away] : [frame]) yield* this.#review.boxes.at(near) ?? [];
    }
  }

  #chosenOf(tracks) {
    const chosen = String(this.#review.track);
    return tracks.some(([id]) => id === chosen) ? chosen : tracks[0][0];
  }

  /** Tracks that have a box in the frame. */
  get #here() { return new Set(this.#review.rows(this.#review.frame).map((row) => String(row.id))); }

  /** The chosen track, or one that has no box here. */
  #missingOf(tracks) {
    const missing = this.#review.chosenRow ? undefined : tracks.find(([id]) => !this.#here.has(id));
    return missing?.[0] ?? this.#chosenOf(tracks);
  }

  #frames(label, kinds) {
    const { frame, count, range } = this.#review;
    const [first, last] = this.#review.shot(frame);
    const all = {
      range: range && ["the marked range", range.first, range.last],
      here: ["this frame", frame, frame],
      end: ["from here to the end", frame, count - 1],
      cut: ["from here to the next cut", frame, last],
      shot: ["this shot", first, last],
      all: ["the whole video", 0, count - 1],
    };
    const seen = new Set();
    const options = kinds.map((kind) => all[kind]).filter((option) => {
      const fresh = option && !seen.has(option.slice(1).join());
      if (fresh) seen.add(option.slice(1).join());
      return fresh;
    });
    return radio("frames", label, options.map(([words, from, to]) => [`${from} ${to}`, `${words}: ${this.#review.rangeWords({ first: from, last: to })}`]));
  }

  #askTrack(title, fields, confirm, operation) {
    const tracks = this.#tracks();
    if (tracks.length === 0) return this.#review.say("There is no track near this frame.");
    return this.#ask(title, [radio("track", "Track", tracks, this.#chosenOf(tracks)), ...fields], confirm, operation);
  }

  async #ask(title, fields, confirm, operation) {
    const preview = async (values, signal) => {
      const { words, warnings, frames: [first, last] } = await this.#review.attempt(operation(values), signal);
      const where = first === null ? "no box changes" : `boxes change in ${this.#review.rangeWords({ first, last })}`;
      return [`Will do: ${words}; ${where}.`, ...warnings].join(" ");
    };
    const values = await ask({ title, fields, confirm, preview });
    return values && this.#review.edit(operation(values));
  }
}

const rounded = (box) => box.map((value) => Math.round(value * 100) / 100);

function frames({ frames: chosen }) {
  const [first_frame, last_frame] = chosen.split(" ").map(Number);
  return { first_frame, last_frame };
}

function radio(name, label, options, value = options[0][0]) {
  return { name, label, kind: "radio", options: options.map(([one, words]) => ({ value: one, label: words })), value };
}
