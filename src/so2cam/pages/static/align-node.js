// One computer of an instrument as the align page knows it, and a command to several of them at once.

import { LinkError } from "./align-link.js";

export class AlignNode {
  /** `name`: "" where there is only one, which says itself who it is. */
  constructor(name, link) {
    this.name = name;
    this.link = link;
    this.timer = 0;
    this.forget();
  }

  forget() {
    clearTimeout(this.timer);
    this.hello = null;
    this.sights = [];
    this.cards = [];
    this.health = null;
    this.error = null; // why it did not answer the last time it was asked
  }

  get met() {
    return this.hello !== null;
  }

  get may() {
    return this.met && this.hello.role !== "viewer";
  }

  get devices() {
    return this.sights.map((sight) => sight.device);
  }

  /** Ask who it is and what its cameras should see. */
  async meet() {
    try {
      const hello = await this.link.get("hello");
      this.sights = (await this.link.get("sight")).cameras;
      this.hello = hello;
      this.name = hello.node;
      this.error = null;
    } catch (error) {
      this.error = error;
      throw error;
    }
  }

  /** Ask how it is and how its cameras are set. */
  async look() {
    try {
      const [health, settings] = await Promise.all([this.link.get("health"), this.link.get("settings")]);
      this.health = health.health;
      for (const card of this.cards) card.showSettings(settings.devices[card.sight.device]);
      this.error = null;
    } catch (error) {
      this.error = error;
    }
  }

  async command(body) {
    if (!this.met) throw this.error ?? new LinkError(`${this.name} does not answer`);
    return this.link.command(body);
  }
}

/** Have all nodes carry out `say(devices)` at once; return what to say, or throw what says who did not do it. */
export async function tellAll(nodes, say) {
  const asked = nodes.filter((node) => !node.met || node.devices.length > 0);
  const told = await Promise.allSettled(asked.map((node) => node.command(say(node.devices))));
  const named = (node, text) => (asked.length === 1 || text.startsWith(node.name) ? text : `${node.name}: ${text}`);
  const done = told.flatMap((one, at) => (one.status === "fulfilled" ? [named(asked[at], one.value.text)] : []));
  const not = told.flatMap((one, at) => (one.status === "rejected" ? [[asked[at], one.reason]] : []));
  if (not.length === 0) return done.join("; ");
  if (asked.length === 1) throw not[0][1];
  const words = not.map(([node, error]) => named(node, error.message));
  throw new LinkError([...new Set(words), ...done].join("; "), { remedy: not[0][1].remedy ?? null });
}
