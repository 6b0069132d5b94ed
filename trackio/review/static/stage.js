/** The picture, and over it the boxes, names, trails, planned crops, and what is being drawn. */

import { colour, fitted, onceAFrame } from "./dom.js";
import { PROXY_WIDTH } from "./frames.js";

const FULL_AFTER_MILLISECONDS = 250;
const TRAIL_FRAMES = 25;
const HANDLE = 7; // half a handle, CSS pixels
const LEAST = 4; // pixels of the video that a box measures at least
const CROP_DASH = [2, 4];
const DASHES = { left: [], right: [9, 5] };

/** The colour in which a row is drawn. */
export function rowColour(row) {
  return colour(row.side ?? (row.person ? "person" : "bystander"));
}

/** Shows the review's frame. */
export class Stage {
  shown = { boxes: true, trails: true, crops: true };
  draft = null; // {box, person, side, id}: a box that is being made, kept until it is saved
  proposal = null; // Map of frame to box
  #review;
  #frames;
  #picture;
  #overlay;
  #stage;
  #fetching = false;
  #drawn = null;
  #full = 0; // timer
  #fullCall = new AbortController();
  #drag = null;
  #paint = onceAFrame(() => this.#drawOverlay());

  /**
   * @param {import("./review.js").Review} review
   * @param {import("./frames.js").Frames} frames
   * @param {{stage: HTMLElement, picture: HTMLCanvasElement, overlay: HTMLCanvasElement}} places
   * @param {(id: number, box: number[]) => void} onMove A box was moved.
   */
  constructor(review, frames, { stage, picture, overlay }, onMove) {
    this.#review = review;
    this.#frames = frames;
    this.#picture = picture;
    this.#overlay = overlay;
    this.#stage = stage;
    this.onMove = onMove;
    review.addEventListener("frame", () => this.show());
    review.addEventListener("tracks", () => this.draw());
    review.addEventListener("choice", () => this.draw());
    new ResizeObserver(() => this.#fit()).observe(stage);
    overlay.addEventListener("pointerdown", (event) => this.#press(event));
    overlay.addEventListener("pointermove", (event) => this.#move(event));
    overlay.addEventListener("pointerup", (event) => this.#release(event));
    overlay.addEventListener("pointercancel", () => this.#cancel());
  }

  /** The frame on the canvas, which may be older than the one that is asked for. */
  get drawn() { return this.#drawn; }

  /** Show the review's frame as soon as it is there; frames that were asked for meanwhile are left out. */
  async show() {
    this.#callOff();
    this.draw();
    const kept = this.#frames.peek(this.#review.frame);
    if (kept) this.#put(kept, this.#review.frame);
    if (this.#fetching) return;
    this.#fetching = true;
    try {
      while (this.#drawn !== this.#review.frame) {
        const frame = this.#review.frame;
        this.#put(await this.#frames.wanted(frame), frame);
      }
    } catch (error) {
      if (error.status !== 503) this.#review.say(`Frame ${this.#review.frame} cannot be shown: ${error.message}`, true);
    } finally {
      this.#fetching = false;
    }
    if (!this.playing?.()) this.#frames.ahead(this.#review.frame, likelyStep(this.#review.direction));
    this.#review.boxes.around(this.#review.frame);
    this.#callOff();
    this.#full = setTimeout(() => this.#showFull(), FULL_AFTER_MILLISECONDS);
  }

  /** The full size of the last frame is no longer wanted. */
  #callOff() {
    clearTimeout(this.#full);
    this.#fullCall.abort();
  }

  /** Draw what lies over the picture anew. */
  draw() { this.#paint(); }

  /** Begin a box: the place is `box`, or drawn with the pointer. */
  begin(draft) {
    this.draft = draft;
    this.draw();
  }

  /** Move the draft by pixels of the video, or with `grow` its lower right corner. */
  nudge(dx, dy, grow) {
    const [x1, y1, x2, y2] = this.draft.box;
    this.draft.box = this.#inside(grow ? [x1, y1, Math.max(x2 + dx, x1 + LEAST), Math.max(y2 + dy, y1 + LEAST)]
      : [x1 + dx, y1 + dy, x2 + dx, y2 + dy], !grow);
    this.draw();
  }

  async #showFull() {
    const { video } = this.#review.session;
    const frame = this.#review.frame;
    if (displayed(video).width <= PROXY_WIDTH || this.playing?.()) return;
    this.#fullCall = new AbortController();
    try {
      const picture = await this.#frames.full(frame, this.#fullCall.signal);
      if (frame === this.#review.frame) this.#put(picture, frame);
    } catch {
      // the proxy stays: it is the same frame
    }
  }

  #put(picture, frame) {
    const canvas = this.#picture;
    if (canvas.width !== picture.width || canvas.height !== picture.height) {
      Object.assign(canvas, { width: picture.width, height: picture.height });
    }
    canvas.getContext("2d", { alpha: false }).drawImage(picture, 0, 0);
    this.#drawn = frame;
    canvas.dataset.frame = frame;
  }

  #fit() {
    const { width, height } = displayed(this.#review.session.video);
    const place = this.#stage.getBoundingClientRect();
    const scale = Math.min(place.width / width, place.height / height);
    for (const canvas of [this.#picture, this.#overlay]) {
      canvas.style.width = `${Math.floor(width * scale)}px`;
      canvas.style.height = `${Math.floor(height * scale)}px`;
    }
    this.draw();
  }

  // -- drawing

  #drawOverlay() {
    const { context, width, height } = fitted(this.#overlay);
    const { video } = this.#review.session;
    this.#scale = [width / video.width, height / video.height];
    const rows = this.#review.rows(this.#review.frame);
    if (this.shown.crops) this.#drawCrops(context);
    if (this.shown.trails) for (const row of rows) this.#drawTrail(context, row);
    if (this.shown.boxes) for (const row of rows) this.#drawRow(context, row);
    const proposed = this.proposal?.get(this.#review.frame);
    if (proposed) this.#drawBox(context, proposed, colour("proposal"), [2, 3], "proposed");
    if (this.draft) {
      this.#drawBox(context, this.draft.box, colour("proposal"), [], `${this.draft.label}: not saved yet`);
      this.#drawHandles(context, this.draft.box);
    }
  }

  #scale = [1, 1]; // CSS pixels per pixel of the video, which need not be square

  #onScreen(values) { return values.map((value, n) => value * this.#scale[n % 2]); }

  #drawRow(context, row) {
    const chosen = row.id === this.#review.track;
    const moved = chosen && this.#drag?.box && !this.draft ? this.#drag.box : row.box;
    const name = row.person ? [row.person, row.side].filter(Boolean).join(" ") : `${row.id}`;
    const origin = row.origin === "detected" ? "" : ` · ${row.origin}`;
    context.globalAlpha = row.origin === "interpolated" ? 0.75 : 1;
    const dash = row.person ? DASHES[row.side] ?? [4, 3, 1, 3] : [1, 3];
    this.#drawBox(context, moved, rowColour(row), dash, name + origin, chosen);
    context.globalAlpha = 1;
    if (chosen && !this.draft) this.#drawHandles(context, moved);
  }

  #drawBox(context, box, stroke, dash, label, bold = false) {
    const [x1, y1, x2, y2] = this.#onScreen(box);
    context.setLineDash([]);
    context.lineWidth = bold ? 5 : 4;
    context.strokeStyle = colour("shade");
    context.strokeRect(x1, y1, x2 - x1, y2 - y1);
    context.setLineDash(dash);
    context.lineWidth = bold ? 3 : 2;
    context.strokeStyle = stroke;
    context.strokeRect(x1, y1, x2 - x1, y2 - y1);
    context.setLineDash([]);
    this.#drawLabel(context, label, stroke, x1, y1);
  }

  #drawLabel(context, label, fill, x, y) {
    context.font = "600 12px system-ui, sans-serif";
    const width = context.measureText(label).width + 10;
    const left = Math.max(0, Math.min(x - 1, this.#overlay.clientWidth - width));
    const top = Math.max(0, y - 18);
    context.fillStyle = fill;
    context.fillRect(left, top, width, 17);
    context.fillStyle = colour("ground");
    context.fillText(label, left + 5, top + 12.5);
  }

  #drawHandles(context, box) {
    context.fillStyle = colour("text");
    for (const [x, y] of corners(this.#onScreen(box))) context.fillRect(x - 3, y - 3, 6, 6);
  }

  #drawTrail(context, row) {
    const frame = this.#review.frame;
    const points = [];
    for (let past = frame - TRAIL_FRAMES; past <= frame; past += 1) {
      const then = (this.#review.boxes.at(past) ?? []).find((other) => other.id === row.id);
      if (then) points.push(this.#onScreen(middle(then.box)));
    }
    context.strokeStyle = rowColour(row);
    context.lineWidth = 1.5;
    context.setLineDash(DASHES[row.side] ?? [1, 3]);
    context.beginPath();
    for (const [x, y] of points) context.lineTo(x, y);
    context.stroke();
    context.setLineDash([]);
  }

  #drawCrops(context) {
    const crops = this.#review.crops.at(this.#review.frame);
    for (const side of ["left", "right"]) {
      const crop = crops?.[side];
      if (!crop) continue;
      const [x1, y1, x2, y2] = this.#onScreen(crop);
      context.setLineDash(CROP_DASH);
      context.lineWidth = 1;
      context.strokeStyle = colour(side);
      context.strokeRect(x1 + 0.5, y1 + 0.5, x2 - x1 - 1, y2 - y1 - 1);
      context.setLineDash([]);
      context.font = "11px system-ui, sans-serif";
      context.fillStyle = colour(side);
      context.fillText(`${side} crop`, Math.max(x1, 0) + 4, Math.min(y2, this.#overlay.clientHeight) - 5);
    }
  }

  // -- pointer

  #at(event) {
    const place = this.#overlay.getBoundingClientRect();
    return [(event.clientX - place.left) / this.#scale[0], (event.clientY - place.top) / this.#scale[1]];
  }

  #press(event) {
    if (event.button !== 0 || this.playing?.()) return;
    const [x, y] = this.#at(event);
    const box = this.draft?.box ?? this.#review.chosenRow?.box;
    const [sx, sy] = this.#scale;
    const corner = box && corners(box).findIndex(([cx, cy]) => Math.max(Math.abs(cx - x) * sx, Math.abs(cy - y) * sy) <= HANDLE);
    if (box && corner >= 0) {
      this.#drag = { from: [x, y], start: box, corner };
    } else if (box && holds(box, x, y)) {
      this.#drag = { from: [x, y], start: box, corner: null };
    } else if (this.draft) {
      this.#drag = { from: [x, y], start: [x, y, x, y], corner: 2 };
    } else {
      const found = this.#review.rows(this.#review.frame).filter((row) => holds(row.box, x, y)).sort((a, b) => area(a.box) - area(b.box))[0];
      this.#review.choose(found?.id ?? null);
      return;
    }
    this.#overlay.setPointerCapture(event.pointerId);
  }

  #move(event) {
    if (!this.#drag) return;
    const [x, y] = this.#at(event);
    const { from, start, corner } = this.#drag;
    const [dx, dy] = [x - from[0], y - from[1]];
    if (corner === null) this.#drag.box = this.#inside(start.map((value, n) => value + (n % 2 ? dy : dx)), true);
    else this.#drag.box = this.#inside(ordered(dragged(start, corner, dx, dy)), false);
    if (this.draft && big(this.#drag.box)) this.draft.box = this.#drag.box;
    this.draw();
  }

  #release() {
    const box = this.#drag?.box;
    this.#drag = null;
    if (box && big(box) && !this.draft) this.onMove(this.#review.track, box);
    this.draw();
  }

  #cancel() {
    this.#drag = null;
    this.draw();
  }

  #inside(box, whole) {
    const { width, height } = this.#review.session.video;
    const [x1, y1, x2, y2] = box;
    if (!whole) return [Math.max(0, x1), Math.max(0, y1), Math.min(width, x2), Math.min(height, y2)];
    const dx = Math.max(0, -x1) - Math.max(0, x2 - width);
    const dy = Math.max(0, -y1) - Math.max(0, y2 - height);
    return [x1 + dx, y1 + dy, x2 + dx, y2 + dy];
  }
}

const likelyStep = (direction) => (Math.abs(direction) <= 10 ? direction : 1); // after a jump people look onwards
const displayed = ({ width, height, display_width = width, display_height = height }) => ({ width: display_width, height: display_height });
const middle = ([x1, y1, x2, y2]) => [(x1 + x2) / 2, (y1 + y2) / 2];
const corners = ([x1, y1, x2, y2]) => [[x1, y1], [x2, y1], [x2, y2], [x1, y2]];
const holds = ([x1, y1, x2, y2], x, y) => x1 <= x && x <= x2 && y1 <= y && y <= y2;
const area = ([x1, y1, x2, y2]) => (x2 - x1) * (y2 - y1);
const big = ([x1, y1, x2, y2]) => x2 - x1 >= LEAST && y2 - y1 >= LEAST;
const ordered = ([x1, y1, x2, y2]) => [Math.min(x1, x2), Math.min(y1, y2), Math.max(x1, x2), Math.max(y1, y2)];

function dragged([x1, y1, x2, y2], corner, dx, dy) {
  const onLeft = corner === 0 || corner === 3;
  const onTop = corner < 2;
  return [x1 + (onLeft ? dx : 0), y1 + (onTop ? dy : 0), x2 + (onLeft ? 0 : dx), y2 + (onTop ? 0 : dy)];
}
