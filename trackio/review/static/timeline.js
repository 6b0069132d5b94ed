/** The timeline: suspects, a lane for left, right and bystanders, edits, cuts, and two curves; zoomed and panned. */

import { colour, fitted, onceAFrame } from "./dom.js";

const GUTTER = 112; // CSS pixels for the names of the lanes
const LEAST_FRAMES = 20; // across the whole timeline, when zoomed in as far as it goes
const ZOOM = 1.6;
const LANES = [
  { name: "", height: 18, draw: "ruler" },
  { name: "suspects", height: 16, draw: "suspects" },
  { name: "left", height: 18, draw: "lane" },
  { name: "right", height: 18, draw: "lane" },
  { name: "bystanders", height: 15, draw: "lane" },
  { name: "edits", height: 13, draw: "edits" },
  { name: "distance", height: 26, draw: "curve" },
  { name: "appearance", height: 26, draw: "curve" },
];
const TICKS = [0.04, 0.2, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600];
const TICK_WIDTH = 90;
const DETECTED = 1;
const INTERPOLATED = 2;
const MANUAL = 3;
const MIXED = 4;

/** Draws the timeline and seeks where it is pressed. */
export class Timeline {
  #review;
  #canvas;
  #first = 0;
  #last;
  #lanes = null;
  #request = 0;
  #drag = null;
  #patterns = new Map();
  #paint = onceAFrame(() => this.#draw());
  #ask = null;

  /**
   * @param {import("./review.js").Review} review
   * @param {HTMLCanvasElement} canvas
   */
  constructor(review, canvas) {
    this.#review = review;
    this.#canvas = canvas;
    this.#last = review.count - 1;
    canvas.setAttribute("aria-valuemax", review.count - 1);
    review.addEventListener("frame", () => this.#follow());
    review.addEventListener("tracks", () => this.#load());
    review.addEventListener("choice", () => this.#paint());
    new ResizeObserver(() => this.#changed()).observe(canvas);
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    canvas.addEventListener("pointerdown", (event) => this.#press(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", () => { this.#drag = null; });
    canvas.addEventListener("pointercancel", () => { this.#drag = null; });
    this.#load();
  }

  /** Zoom by a factor around a frame: below 1 shows less. */
  zoom(factor, around = this.#review.frame) {
    const span = Math.max(Math.min(LEAST_FRAMES, this.#review.count), Math.min(this.#review.count, (this.#last - this.#first + 1) * factor));
    const share = (around - this.#first) / (this.#last - this.#first + 1);
    this.#show(around - share * span, span);
  }

  /** Show less. */
  zoomIn() { this.zoom(1 / ZOOM); }

  /** Show more. */
  zoomOut() { this.zoom(ZOOM); }

  /** Show the whole video. */
  fit() { this.#show(0, this.#review.count); }

  /** Move what is shown by a share of its length. */
  pan(share) {
    const span = this.#last - this.#first + 1;
    this.#show(this.#first + share * span, span);
  }

  #show(first, span) {
    const start = Math.max(0, Math.min(this.#review.count - span, first));
    this.#first = start;
    this.#last = start + span - 1;
    this.#changed();
  }

  #changed() {
    this.#paint();
    clearTimeout(this.#ask);
    this.#ask = setTimeout(() => this.#load(), 60);
  }

  async #load() {
    const request = ++this.#request;
    const buckets = Math.max(50, Math.min(2000, Math.floor((this.#canvas.clientWidth - GUTTER) / 2)));
    const [first, last] = [Math.floor(this.#first), Math.ceil(this.#last)];
    try {
      const lanes = await this.#review.api.json(`/api/lanes?buckets=${buckets}&first=${first}&last=${last}`);
      if (request !== this.#request) return;
      this.#lanes = lanes;
      this.#paint();
    } catch (error) {
      if (request === this.#request) this.#review.say(`The timeline cannot be loaded: ${error.message}`, true);
    }
  }

  /** Keep the frame in view. */
  #follow() {
    const { frame } = this.#review;
    const span = this.#last - this.#first + 1;
    if (frame < this.#first) this.#show(frame - span * 0.1, span);
    else if (frame > this.#last) this.#show(frame - span * 0.9, span);
    this.#describe();
    this.#paint();
  }

  #describe() {
    const { frame } = this.#review;
    this.#canvas.setAttribute("aria-valuenow", frame);
    this.#canvas.setAttribute("aria-valuetext", `frame ${frame}, ${this.#review.timecode(frame)}`);
  }

  // -- pointer

  #frameAt(event) {
    const place = this.#canvas.getBoundingClientRect();
    const share = (event.clientX - place.left - GUTTER) / (place.width - GUTTER);
    return this.#first + share * (this.#last - this.#first + 1);
  }

  #wheel(event) {
    event.preventDefault();
    const sideways = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
    if (Math.abs(sideways) > Math.abs(event.shiftKey ? 0 : event.deltaY)) this.pan(sideways / 1000);
    else this.zoom(event.deltaY > 0 ? 1.25 : 0.8, this.#frameAt(event));
  }

  #press(event) {
    this.#canvas.setPointerCapture(event.pointerId);
    const panning = event.shiftKey || event.button === 1;
    this.#drag = { panning, x: event.clientX, first: this.#first };
    const suspect = panning ? null : this.#suspectAt(event);
    if (suspect) this.#review.pick(suspect.key);
    else if (!panning) this.#review.seek(Math.floor(this.#frameAt(event)));
  }

  #move(event) {
    if (!this.#drag) return;
    const span = this.#last - this.#first + 1;
    if (!this.#drag.panning) this.#review.seek(Math.floor(this.#frameAt(event)));
    else this.#show(this.#drag.first - (event.clientX - this.#drag.x) / (this.#canvas.clientWidth - GUTTER) * span, span);
  }

  #suspectAt(event) {
    const y = event.clientY - this.#canvas.getBoundingClientRect().top;
    if (y < LANES[0].height || y >= LANES[0].height + LANES[1].height) return null;
    const frame = this.#frameAt(event);
    const slack = (this.#last - this.#first + 1) / (this.#canvas.clientWidth - GUTTER) * 4;
    const there = this.#review.suspects.filter((one) => one.first_frame - slack <= frame && frame <= one.last_frame + 1 + slack);
    return there.sort((a, b) => lengthOf(a) - lengthOf(b))[0];
  }

  // -- drawing

  #draw() {
    const { context, width, height } = fitted(this.#canvas);
    const x = (frame) => GUTTER + (frame - this.#first) / (this.#last - this.#first + 1) * (width - GUTTER);
    let top = 0;
    context.save();
    context.beginPath();
    context.rect(GUTTER, 0, width - GUTTER, height);
    context.clip();
    for (const lane of LANES) {
      this.#drawers[lane.draw](context, { ...lane, top, x, width });
      top += lane.height;
    }
    this.#drawCuts(context, x, top);
    this.#drawRange(context, x, top);
    this.#drawNow(context, x, top);
    context.restore();
    this.#drawNames(context);
  }

  #drawers = {
    ruler: (context, place) => this.#drawRuler(context, place),
    suspects: (context, place) => this.#drawSuspects(context, place),
    lane: (context, place) => this.#drawLane(context, place),
    edits: (context, place) => this.#drawEdits(context, place),
    curve: (context, place) => this.#drawCurve(context, place),
  };

  #drawNames(context) {
    let top = 0;
    context.font = "11px system-ui, sans-serif";
    for (const { name, height, draw } of LANES) {
      context.fillStyle = colour(name === "left" || name === "right" ? name : "dim");
      context.fillText(name, 8, top + height / 2 + 4);
      const most = draw === "curve" ? this.#most(name) : null;
      if (most !== null) context.fillText(most.toFixed(1), GUTTER - 6 - context.measureText(most.toFixed(1)).width, top + 10);
      top += height;
    }
  }

  #drawRuler(context, { x, width, height }) {
    const { times } = this.#review;
    const [start, end] = [times[Math.floor(this.#first)], times[Math.ceil(this.#last)]];
    const step = TICKS.find((tick) => (end - start) / tick <= (width - GUTTER) / TICK_WIDTH) ?? TICKS.at(-1);
    context.font = "10px system-ui, sans-serif";
    context.fillStyle = colour("dim");
    for (let n = Math.ceil(start / step); n * step <= end; n += 1) {
      const at = x(this.#review.frameAt(n * step));
      context.fillRect(at, height - 4, 1, 4);
      context.fillText(clock(n * step, step), at + 3, height - 6);
    }
  }

  #drawSuspects(context, { top, height, x }) {
    for (const one of this.#review.suspects.toSorted((a, b) => lengthOf(b) - lengthOf(a))) {
      const [from, to] = [x(one.first_frame), Math.max(x(one.last_frame + 1) - 1, x(one.first_frame) + 4)];
      const chosen = one.key === this.#review.key;
      context.fillStyle = colour(one.state ? "done" : "suspect");
      context.fillRect(from, top + 3, to - from, height - 6);
      context.lineWidth = 1;
      context.strokeStyle = colour("panel");
      context.strokeRect(from - 0.5, top + 2.5, to - from + 1, height - 5);
      if (!chosen) continue;
      context.strokeStyle = colour("text");
      context.lineWidth = 2;
      context.strokeRect(from - 2, top + 1, to - from + 4, height - 2);
    }
  }

  #drawLane(context, { name, top, height, x }) {
    const codes = this.#lanes?.[name];
    if (!codes) return;
    const { first, last } = this.#lanes;
    const frame = (bucket) => first + bucket * (last - first + 1) / codes.length;
    context.fillStyle = colour("lane");
    context.fillRect(GUTTER, top + 2, this.#canvas.clientWidth, height - 4);
    for (let start = 0, end = 1; end <= codes.length; end += 1) {
      if (end < codes.length && codes[end] === codes[start]) continue;
      this.#drawRun(context, codes[start], name, [x(frame(start)), top + 2, x(frame(end)), top + height - 2]);
      start = end;
    }
  }

  #drawRun(context, code, name, [left, top, right, bottom]) {
    if (code === 0) return;
    const paint = colour(name === "bystanders" ? "bystander" : name);
    context.fillStyle = code === INTERPOLATED || code === MIXED ? this.#hatch(context, paint, code) : paint;
    context.fillRect(left, top, Math.max(right - left, 1), bottom - top);
    context.fillStyle = colour("text");
    if (code === MANUAL) context.fillRect(left, top, Math.max(right - left, 1), 3);
    context.fillStyle = paint;
    if (code === DETECTED && name === "right") context.fillRect(left, bottom, right - left, 1);
  }

  #hatch(context, paint, code) {
    const key = `${paint}${code}`;
    if (!this.#patterns.has(key)) {
      const tile = new OffscreenCanvas(6, 6);
      const brush = tile.getContext("2d");
      brush.strokeStyle = paint;
      brush.lineWidth = code === MIXED ? 3.2 : 1.6;
      brush.beginPath();
      for (const shift of [-6, 0, 6]) {
        brush.moveTo(shift - 1, 7);
        brush.lineTo(shift + 7, -1);
      }
      brush.stroke();
      this.#patterns.set(key, context.createPattern(tile, "repeat"));
    }
    return this.#patterns.get(key);
  }

  #drawEdits(context, { top, height, x }) {
    context.fillStyle = colour("edit");
    for (const [first, last] of this.#lanes?.edits ?? []) {
      context.fillRect(x(first), top + 3, Math.max(x(last + 1) - x(first), 3), height - 6);
    }
  }

  #drawCurve(context, { name, top, height, x, width }) {
    const values = this.#lanes?.[name];
    const most = this.#most(name);
    context.font = "11px system-ui, sans-serif";
    context.fillStyle = colour("dim");
    if (most === null) {
      context.fillText(this.#lanes ? "not known" : "", GUTTER + 6, top + height / 2 + 4);
      return;
    }
    const { first, last } = this.#lanes;
    const y = (value) => top + height - 3 - Math.max(value, 0) / (most || 1) * (height - 6);
    context.fillStyle = colour("lane");
    context.fillRect(GUTTER, top + 1, width, height - 2);
    context.strokeStyle = colour("curve");
    context.lineWidth = 1.25;
    context.beginPath();
    values.forEach((value, bucket) => {
      if (value === null) return;
      const at = x(first + (bucket + 0.5) * (last - first + 1) / values.length);
      if (bucket === 0 || values[bucket - 1] === null) context.moveTo(at - 0.5, y(value));
      context.lineTo(at, y(value));
    });
    context.stroke();
  }

  /** The highest value of a curve; null if nothing is known. */
  #most(name) {
    const seen = (this.#lanes?.[name] ?? []).filter((value) => value !== null);
    return seen.length ? Math.max(...seen) : null;
  }

  #drawCuts(context, x, bottom) {
    context.fillStyle = colour("cut");
    const top = LANES[0].height;
    for (const frame of this.#lanes?.cuts ?? []) context.fillRect(Math.round(x(frame)), top, 1, bottom - top);
  }

  #drawRange(context, x, bottom) {
    const { first, last, range } = this.#review;
    if (range) {
      context.fillStyle = colour("range");
      context.globalAlpha = 0.16;
      context.fillRect(x(range.first), 0, x(range.last + 1) - x(range.first), bottom);
      context.globalAlpha = 1;
    }
    context.fillStyle = colour("range");
    for (const frame of [first, last]) if (frame !== null) context.fillRect(x(frame), 0, 2, bottom);
  }

  #drawNow(context, x, bottom) {
    const { frame } = this.#review;
    const [from, to] = [x(frame), x(frame + 1)];
    context.fillStyle = colour("text");
    context.globalAlpha = 0.18;
    context.fillRect(from, 0, Math.max(to - from, 1), bottom);
    context.globalAlpha = 1;
    context.fillRect(Math.round(from), 0, 2, bottom);
  }
}

const lengthOf = (suspect) => suspect.last_frame - suspect.first_frame;

function clock(seconds, step) {
  const minutes = Math.floor(seconds / 60 + 1e-6);
  const rest = seconds - minutes * 60;
  return `${minutes}:${(step < 1 ? rest.toFixed(2) : String(Math.round(rest))).padStart(step < 1 ? 5 : 2, "0")}`;
}
