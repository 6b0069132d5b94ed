/** What belongs to frames (boxes, crops), fetched in blocks around the frame that is shown. */

const SIZE = 200;
const KEPT = 40;

/** Values by frame, fetched block by block; `onLoad` is called when a block has come. */
export class Blocks {
  #load;
  #count;
  #onLoad;
  #blocks = new Map();
  #under = new Map(); // blocks on their way
  #generation = 0;

  /**
   * @param {number} count Frames of the video.
   * @param {(first: number, last: number) => Promise<(frame: number) => any>} load Fetches the frames of a block.
   * @param {() => void} onLoad
   */
  constructor(count, load, onLoad) {
    this.#count = count;
    this.#load = load;
    this.#onLoad = onLoad;
  }

  /** The value of a frame; undefined as long as its block is on its way. */
  at(frame) {
    if (frame < 0 || frame >= this.#count) return undefined;
    const place = Math.floor(frame / SIZE);
    if (!this.#blocks.has(place)) this.#fetch(place);
    return this.#blocks.get(place)?.(frame);
  }

  /** The value of a frame once it is there. */
  async ready(frame) {
    const value = this.at(frame);
    if (value !== undefined) return value;
    await this.#under.get(Math.floor(frame / SIZE));
    return this.at(frame);
  }

  /** Fetch the blocks around `frame` before they are asked for. */
  around(frame) {
    for (const near of [frame, frame - SIZE / 2, frame + SIZE / 2]) this.at(near);
  }

  /** The tracks have changed: what is shown stays until the new values are there. */
  async renew(frame) {
    this.#generation += 1;
    const place = Math.floor(frame / SIZE);
    const shown = this.#blocks.get(place);
    this.#blocks.clear();
    if (shown) this.#blocks.set(place, shown);
    await this.#fetch(place);
  }

  #fetch(place) {
    if (!this.#blocks.has(place)) this.#blocks.set(place, undefined);
    const coming = this.#read(place).finally(() => {
      if (this.#under.get(place) === coming) this.#under.delete(place);
    });
    this.#under.set(place, coming);
    return coming;
  }

  async #read(place) {
    const generation = this.#generation;
    const first = place * SIZE;
    try {
      const values = await this.#load(first, Math.min(first + SIZE, this.#count) - 1);
      if (generation !== this.#generation) return;
      this.#blocks.set(place, values);
      if (this.#blocks.size > KEPT) this.#blocks.delete(this.#blocks.keys().next().value);
      this.#onLoad();
    } catch {
      if (generation === this.#generation) this.#blocks.delete(place);
    }
  }
}
