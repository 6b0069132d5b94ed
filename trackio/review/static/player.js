/** Playback at the pace of the video; frames that come too late are left out. */

const LATE_SECONDS = 0.08;
const SEEN_SECONDS = 0.2; // a late frame is shown if none was for so long
const LOST_SECONDS = 1.5; // behind the clock: then the frames in between are not even asked for

/** Plays the review from its frame on. */
export class Player {
  playing = false;
  #review;
  #frames;
  #call = new AbortController();

  /**
   * @param {import("./review.js").Review} review
   * @param {import("./frames.js").Frames} frames
   * @param {import("./stage.js").Stage} stage
   * @param {import("./sound.js").Sound} sound
   */
  constructor(review, frames, stage, sound) {
    this.#review = review;
    this.#frames = frames;
    this.stage = stage;
    this.sound = sound;
  }

  /** Play, or stop. */
  toggle() {
    if (this.playing) this.stop();
    else this.#play();
  }

  /** Stop at the frame that is shown. */
  stop() {
    if (!this.playing) return;
    this.playing = false;
    this.#call.abort();
    this.sound.stop();
    this.stage.show();
    this.onChange();
  }

  async #play() {
    const review = this.#review;
    if (review.frame === review.count - 1) review.seek(0);
    this.playing = true;
    this.onChange();
    const start = review.times[review.frame];
    await this.sound.start(start);
    const begun = performance.now();
    const clock = () => start + (performance.now() - begun) / 1000;
    try {
      let first = review.frame;
      while (this.playing && first < review.count) first = await this.#run(first, clock);
    } catch (error) {
      if (error.name !== "AbortError") review.say(`Playing has stopped: ${error.message}`, true);
    }
    this.stop();
  }

  /** Show frames from `first` on until they fall behind; the frame to go on with. */
  async #run(first, clock) {
    const { times, count } = this.#review;
    this.#call = new AbortController();
    let seen = clock();
    let lost = false;
    const wants = (frame) => {
      const late = clock() - times[frame];
      lost = late > LOST_SECONDS;
      return lost || late < LATE_SECONDS || clock() - seen > SEEN_SECONDS || frame === count - 1;
    };
    for await (const frame of this.#frames.run(first, wants, this.#call.signal)) {
      while (this.playing && clock() < times[frame]) await nextPaint();
      if (!this.playing) return count;
      this.#review.seek(frame);
      seen = clock();
      if (lost) return this.#review.frameAt(seen); // which cancels the rest of the run
    }
    return count;
  }
}

const nextPaint = () => new Promise((resolve) => { requestAnimationFrame(resolve); });
