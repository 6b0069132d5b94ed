/** Pictures of frames, each fetched once and kept for a while. */

export const PROXY_WIDTH = 960;
const KEPT = 72; // pictures of 960 x 540 are 2 MB each
const AHEAD = 4;
const RUN_FRAMES = 500; // per request while it plays
const HEAD_BYTES = 8;
const AT_ONCE = 3; // a browser opens six connections; events and edits want theirs

/** Pictures at proxy width by frame. */
export class Frames {
  #api;
  #count;
  #kept = new Map();
  #pending = new Map();
  #page = crypto.randomUUID(); // the server drops what a page no longer waits for, not what another page does
  #serial = 0;

  /**
   * @param {import("./api.js").Api} api
   * @param {number} count Frames of the video.
   */
  constructor(api, count) {
    this.#api = api;
    this.#count = count;
  }

  /** The picture of a frame that is to be seen now. */
  wanted(frame) {
    return this.#get(frame, this.#wish());
  }

  /** The picture if it is there already. */
  peek(frame) {
    return this.#kept.get(frame);
  }

  /** The picture of a frame in full size, until `signal` calls it off; not kept. */
  full(frame, signal) {
    return this.#api.picture(`/api/frame/${frame}.jpg`, this.#wish(), signal);
  }

  /** Fetch what is likely to be wanted next: the frames from `frame` on in steps of `step`. */
  ahead(frame, step, count = AHEAD) {
    for (let next = frame + step, n = 0; n < count && this.#pending.size < AT_ONCE; next += step, n += 1) {
      if (next < 0 || next >= this.#count) return;
      if (!this.#kept.has(next)) this.#get(next, {}).catch(() => {});
    }
  }

  /**
   * Pictures from a frame on, in order and as they come.
   * @param {number} first
   * @param {(frame: number) => boolean} wants Whether a frame is worth unpacking; others are left out.
   * @param {AbortSignal} signal Ends it.
   */
  async * run(first, wants, signal) {
    for (let from = first; from < this.#count; from += RUN_FRAMES) {
      const path = `/api/frames?first=${from}&num=${RUN_FRAMES}&width=${PROXY_WIDTH}`;
      for await (const [frame, jpeg] of framed(await this.#api.stream(path, signal))) {
        if (jpeg.length === 0 || !wants(frame)) continue;
        const picture = await createImageBitmap(new Blob([jpeg], { type: "image/jpeg" }));
        this.#keep(frame, picture);
        yield frame;
      }
    }
  }

  #wish() {
    this.#serial += 1;
    return { "X-Dft-Serial": `${this.#page}:${this.#serial}` };
  }

  #get(frame, headers) {
    const kept = this.#kept.get(frame);
    if (kept) {
      this.#keep(frame, kept);
      return Promise.resolve(kept);
    }
    if (!this.#pending.has(frame)) {
      const made = this.#api.picture(`/api/frame/${frame}.jpg?width=${PROXY_WIDTH}`, headers).then((picture) => {
        this.#keep(frame, picture);
        return picture;
      }).finally(() => this.#pending.delete(frame));
      this.#pending.set(frame, made);
    }
    return this.#pending.get(frame);
  }

  #keep(frame, picture) {
    this.#kept.delete(frame);
    this.#kept.set(frame, picture);
    if (this.#kept.size > KEPT) this.#kept.delete(this.#kept.keys().next().value);
  }
}

/** Index and JPEG of each frame in a stream: both sizes are uint32, little-endian, before the bytes. */
async function* framed(stream) {
  let rest = new Uint8Array();
  for await (const chunk of stream) {
    const bytes = new Uint8Array(rest.length + chunk.length);
    bytes.set(rest);
    bytes.set(chunk, rest.length);
    const view = new DataView(bytes.buffer);
    let at = 0;
    while (at + HEAD_BYTES <= bytes.length && at + HEAD_BYTES + view.getUint32(at + 4, true) <= bytes.length) {
      const end = at + HEAD_BYTES + view.getUint32(at + 4, true);
      yield [view.getUint32(at, true), bytes.subarray(at + HEAD_BYTES, end)];
      at = end;
    }
    rest = bytes.subarray(at);
  }
}
