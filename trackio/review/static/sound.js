/** The sound of the video while it plays, fetched in pieces. */

const PIECE_SECONDS = 10;

/** Plays sound from a time on; does nothing where there is none. */
export class Sound {
  on = true;
  #api;
  #present;
  #context = null;
  #sources = new Set();
  #run = 0;

  /**
   * @param {import("./api.js").Api} api
   * @param {boolean} present Whether the video has sound.
   */
  constructor(api, present) {
    this.#api = api;
    this.#present = present;
  }

  /** Whether there is sound to switch on and off. */
  get present() { return this.#present; }

  /** Play from `seconds` on; returns when it begins. */
  async start(seconds) {
    if (!this.#present || !this.on) return;
    this.#context ??= new AudioContext();
    const run = ++this.#run;
    const first = await this.#piece(seconds);
    if (run === this.#run && first) this.#queue(run, first, seconds, this.#context.currentTime);
  }

  /** Be silent. */
  stop() {
    this.#run += 1;
    for (const source of this.#sources) source.stop();
    this.#sources.clear();
  }

  async #queue(run, piece, seconds, at) {
    const source = new AudioBufferSourceNode(this.#context, { buffer: piece });
    source.connect(this.#context.destination);
    source.start(at);
    source.onended = () => this.#sources.delete(source);
    this.#sources.add(source);
    const next = await this.#piece(seconds + piece.duration);
    if (run === this.#run && next) this.#queueLater(run, next, seconds + piece.duration, at + piece.duration);
  }

  /** One piece is queued while another plays, so that stopping leaves little to throw away. */
  #queueLater(run, piece, seconds, at) {
    const wait = Math.max(0, at - this.#context.currentTime - 1) * 1000;
    setTimeout(() => { if (run === this.#run) this.#queue(run, piece, seconds, at); }, wait);
  }

  async #piece(seconds) {
    try {
      const bytes = await this.#api.bytes(`/api/sound.wav?start=${seconds.toFixed(3)}&seconds=${PIECE_SECONDS}`);
      const piece = await this.#context.decodeAudioData(bytes);
      return piece.duration > 0 ? piece : null;
    } catch {
      return null; // the sound has ended, or cannot be had: the pictures go on
    }
  }
}
