/** The server of this page. Every request carries the token of the address that opened it. */

const TOKEN_KEY = "dft-token";
const RETRY_MILLISECONDS = 2000;

/** A request that the server refused. */
export class ApiError extends Error {
  /**
   * @param {number} status HTTP status.
   * @param {string} message One line for the person.
   */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** The server does not answer. */
export class LostError extends Error {}

/** Take the token out of the address bar, where it would be copied and bookmarked, and keep it for this tab. */
function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    sessionStorage.setItem(TOKEN_KEY, given);
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem(TOKEN_KEY) ?? "";
}

/** Requests; fires `lost` when the server stops answering and `back` when it answers again. */
export class Api extends EventTarget {
  #token = takeToken();
  #lost = false;

  /** The JSON object at `path`. */
  async json(path, options = {}) {
    return (await this.#fetch(path, options)).json();
  }

  /** The bytes at `path`. */
  async bytes(path) {
    return (await this.#fetch(path, {})).arrayBuffer();
  }

  /** The picture at `path`; `headers` are sent with the request, which `signal` calls off. */
  async picture(path, headers = {}, signal = undefined) {
    return createImageBitmap(await this.blob(path, headers, signal));
  }

  /** The file at `path`. */
  async blob(path, headers = {}, signal = undefined) {
    return (await this.#fetch(path, { headers, signal })).blob();
  }

  /** The bytes at `path` as they come, until `signal` calls them off. */
  async stream(path, signal) {
    return (await this.#fetch(path, { signal })).body;
  }

  /** Post `body` as JSON; the JSON answer. */
  async post(path, body, options = {}) {
    const headers = { "Content-Type": "application/json" };
    return (await this.#fetch(path, { method: "POST", headers, body: JSON.stringify(body), ...options })).json();
  }

  /**
   * Tell of changes that others make, as long as the page lives.
   * @param {() => number} revision The revision that the page shows.
   * @param {() => Promise<void>} settled Ends when the page's own edits are written and shown.
   * @param {() => Promise<void>} onChange Reloads.
   */
  async watch(revision, settled, onChange) {
    for (;;) {
      try {
        const there = await this.json(`/api/events?revision=${revision()}`);
        await settled();
        if (there.revision > revision()) await onChange();
      } catch (error) {
        if (!(error instanceof LostError || error instanceof ApiError)) throw error;
        await pause();
      }
    }
  }

  /** The page is closed. */
  goodbye() {
    this.post("/api/goodbye", {}, { keepalive: true }).catch(() => {});
  }

  async #fetch(path, { headers = {}, ...options }) {
    let answer;
    try {
      answer = await fetch(path, { cache: "no-store", ...options, headers: { "X-Dft-Token": this.#token, ...headers } });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      this.#setLost(true);
      throw new LostError("the server does not answer");
    }
    this.#setLost(false);
    if (!answer.ok) throw new ApiError(answer.status, await reason(answer));
    return answer;
  }

  #setLost(lost) {
    if (lost === this.#lost) return;
    this.#lost = lost;
    this.dispatchEvent(new Event(lost ? "lost" : "back"));
    if (lost) this.#ping();
  }

  /** Ask until there is an answer. */
  async #ping() {
    while (this.#lost) {
      await pause();
      await this.json("/api/session").catch(() => {});
    }
  }
}

const pause = () => new Promise((resolve) => { setTimeout(resolve, RETRY_MILLISECONDS); });

async function reason(answer) {
  if (answer.status === 403) return "This address is not valid (any more): open the one that dft review printed.";
  try {
    return (await answer.json()).error ?? `The server refused (${answer.status}).`;
  } catch {
    return `The server refused (${answer.status}).`;
  }
}
