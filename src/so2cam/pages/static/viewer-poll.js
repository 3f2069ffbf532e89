// Fetches frames: one call at a time, no faster than `rate`, asking only for what is newer than the last tag.

import { decodeFrame } from "./viewer-frame.js";

const CALL_MS = 40_000; // servers may hold a call for up to 25 s
const NONE_MS = 2_000;
const GONE_MS = 1_000;
const REFUSED_MS = 10_000;
const FIRST_RETRY_MS = 400;
const LONGEST_RETRY_MS = 5_000;

export class Poller {
  /** `onFrame({header, pixels}, age)` for each new frame, its age in seconds by the server's clock; `onState("ok" | "none" | "gone" | "lost" | "refused", why)` where it changes. */
  constructor(onFrame, onState) {
    this.onFrame = onFrame;
    this.onState = onState;
    this.stopped = null;
    this.rate = 4;
    this.headers = {};
    this.state = null;
    this.why = "";
  }

  start(url) {
    this.stop();
    this.stopped = new AbortController();
    this.state = null;
    void this.run(url, this.stopped.signal);
  }

  stop() {
    this.stopped?.abort();
    this.stopped = null;
  }

  async run(url, signal) {
    let tag = null;
    let known = { state: "ok" }; // what the tag stands for: an image, or that there is none any more
    let retry = FIRST_RETRY_MS;
    while (!signal.aborted) {
      await shown(signal);
      if (signal.aborted) return;
      const begun = performance.now();
      const found = await this.call(url, tag, signal);
      if (signal.aborted) return;
      const answer = found.state === "same" ? known : found;
      const why = answer.why ?? "";
      if (answer.state !== this.state || why !== this.why) {
        this.state = answer.state;
        this.why = why;
        this.onState(answer.state, why);
      }
      if (found.frame) {
        [tag, known] = [found.tag, { state: "ok" }];
        this.onFrame(found.frame, found.age);
      } else if (found.state === "gone") {
        [tag, known] = [found.tag, { state: "gone", why }]; // asked again, a server that tags it says "same"
      }
      let wait = begun + 1000 / Math.max(this.rate, 0.01) - performance.now();
      if (answer.state === "lost") {
        wait = retry * (0.8 + 0.4 * Math.random());
        retry = Math.min(2 * retry, LONGEST_RETRY_MS);
      } else {
        retry = FIRST_RETRY_MS;
        if (answer.state === "none") wait = NONE_MS;
        if (answer.state === "gone") wait = GONE_MS;
        if (answer.state === "refused") wait = REFUSED_MS;
      }
      await pause(wait, signal);
    }
  }

  async call(url, tag, signal) {
    const address = new URL(url, document.baseURI);
    if (tag !== null) address.searchParams.set("after", tag);
    const late = new AbortController();
    const stop = () => late.abort();
    const timer = setTimeout(stop, CALL_MS);
    signal.addEventListener("abort", stop);
    try {
      const response = await fetch(address, { headers: this.headers, signal: late.signal, cache: "no-store" });
      if (response.status === 204 || response.status === 304) return { state: "same" };
      if (response.status === 404) return { state: "none" };
      if (response.status === 410) return { state: "gone", why: await detail(response), tag: tagOf(response) };
      if (response.status === 401 || response.status === 403) return { state: "refused" };
      if (!response.ok) return { state: "lost" };
      const frame = decodeFrame(await response.arrayBuffer());
      const age = (Date.parse(response.headers.get("date")) - Date.parse(frame.header.time)) / 1000;
      return { state: "ok", frame, tag: tagOf(response) ?? frame.header.tag ?? null, age: age > 0 ? age : 0 };
    } catch {
      return { state: "lost" }; // no connection, a call that took too long, or an answer that is no frame
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
    }
  }
}

function tagOf(response) {
  return response.headers.get("etag")?.replace(/^W\//, "").replaceAll('"', "") ?? null;
}

/** What a server says about an answer that is none. */
async function detail(response) {
  try {
    const { detail } = await response.json();
    return typeof detail === "string" ? detail : "";
  } catch {
    return "";
  }
}

function pause(milliseconds, signal) {
  return new Promise((done) => {
    const timer = setTimeout(done, Math.max(milliseconds, 0));
    signal.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        done();
      },
      { once: true },
    );
  });
}

/** Wait until the page can be seen: a hidden tab asks for nothing. */
function shown(signal) {
  if (!document.hidden) return Promise.resolve();
  return new Promise((done) => {
    const look = () => {
      if (document.hidden && !signal.aborted) return;
      document.removeEventListener("visibilitychange", look);
      done();
    };
    document.addEventListener("visibilitychange", look);
    signal.addEventListener("abort", look, { once: true });
  });
}
