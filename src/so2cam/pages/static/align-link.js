// The instrument's link, as this page asks it: questions by GET, commands by POST with a key, so that one that is said again
// after a break takes effect once.

const PLACE = "so2cam-token";
const TRIES = 4;
const WAIT_MS = 700;
const CALL_MS = 30_000;

export class LinkError extends Error {
  constructor(text, { status = 0, remedy = null } = {}) {
    super(text);
    this.status = status;
    this.remedy = remedy;
  }

  /** The whole of it for people. */
  get words() {
    return this.remedy ? `${this.message} (${this.remedy})` : this.message;
  }
}

export class Link {
  /**
   * `base`: where the messages are, as "/v1/". `onRefused()` is called where the token is not valid any more.
   * `session`: the server knows by itself who one is, and hands on to the instrument what is said.
   */
  constructor(base, onRefused, { session = false } = {}) {
    this.base = base;
    this.onRefused = onRefused;
    this.server = session ? "station" : "instrument";
    this.token = session ? null : (sessionStorage.getItem(PLACE) ?? localStorage.getItem(PLACE));
  }

  get headers() {
    return this.token === null ? {} : { Authorization: `Bearer ${this.token}` };
  }

  address(path) {
    return `${this.base}${path}`;
  }

  keep(token, longer) {
    this.forget();
    this.token = token;
    (longer ? localStorage : sessionStorage).setItem(PLACE, token);
  }

  forget() {
    this.token = null;
    sessionStorage.removeItem(PLACE);
    localStorage.removeItem(PLACE);
  }

  async get(path) {
    return this.ask(path, { headers: this.headers });
  }

  /** Carry a command out; the same key again where the answer was lost on the way. */
  async command(body) {
    const key = `align-${Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(16)).join("-")}`;
    const headers = { ...this.headers, "Content-Type": "application/json", "Idempotency-Key": key };
    const request = { method: "POST", headers, body: JSON.stringify(body) };
    for (let count = 1; ; count += 1) {
      try {
        return await this.ask("commands", request);
      } catch (error) {
        if (error.status !== 0 || count === TRIES) throw error;
        await new Promise((done) => setTimeout(done, count * WAIT_MS));
      }
    }
  }

  async pair(code) {
    const headers = { "Content-Type": "application/json" };
    return this.ask("pair", { method: "POST", headers, body: JSON.stringify({ code, name: "browser" }) });
  }

  async ask(path, request) {
    let response;
    let said = null;
    try {
      response = await fetch(this.address(path), { ...request, cache: "no-store", signal: AbortSignal.timeout(CALL_MS) });
      said = await response.json().catch(() => null);
    } catch {
      throw new LinkError(`the ${this.server} does not answer`, { remedy: "look at the network" });
    }
    if (response.ok) return said;
    if (response.status === 401) {
      this.onRefused();
      throw new LinkError("This token is not valid here: it is wrong, too old or revoked", { status: 401 });
    }
    const text = said?.text ?? said?.error ?? said?.detail ?? `refused (${response.status})`;
    throw new LinkError(String(text), { status: response.status, remedy: said?.remedy ?? null });
  }
}
