// The page by which an instrument is aimed, focused and set, from a phone beside the case.

import "./viewer.js";
import { Aim } from "./align-aim.js";
import { CameraCard } from "./align-camera.js";
import { Link } from "./align-link.js";

const LOOK_MS = 3_000;
const LIVE = 600; // so many live pictures, lest a phone that is put away fills the disk
const LAYOUTS = { both: "Both", on: "On", off: "Off" };
const AIDS = { cross: "Cross", horizon: "Horizon", places: "Vent", saturated: "Saturated" };
const BUSY = new Set(["capturing", "darks", "cells"]);

const get = (name) => document.querySelector(`[data-testid="align-${name}"]`);
const { base, session } = document.documentElement.dataset; // session: where one signs in at a server that knows who one is
const link = new Link(base || "/v1/", () => signedOut("The token is not valid any more."), { session: session !== undefined });
const aim = new Aim(document);
let cards = [];
let role = null;
let looking = 0;
let live = false; // test pictures that this page may stop

/** Do some work, and say in `element` what became of it. */
async function act(element, work) {
  element.className = "said";
  element.textContent = "…";
  try {
    element.textContent = await work();
    element.classList.add("good");
  } catch (error) {
    element.textContent = error.words ?? error.message;
    element.classList.add("bad");
  }
  void look();
}

// --- who one is ----------------------------------------------------------------------------------------------------

function signedOut(words = "") {
  if (session !== undefined) {
    location.assign(session || "/");
    return;
  }
  link.forget();
  clearTimeout(looking);
  for (const card of cards) card.stop();
  get("main").hidden = true;
  get("sign-out").hidden = true;
  get("sign-in").hidden = false;
  get("sign-in-said").textContent = words;
  get("state").textContent = "";
}

async function enter() {
  const hello = await link.get("hello");
  role = hello.role;
  get("node").textContent = `${hello.site}, ${hello.node}`;
  document.title = `Align ${hello.node}`;
  const sight = await link.get("sight");
  get("sign-in").hidden = true;
  get("lost").hidden = true;
  get("main").hidden = false;
  get("sign-out").hidden = link.token === null;
  const may = role !== "viewer";
  const why = hello.note ?? "You are signed in as viewer: you may look. To take pictures or change settings, sign in as operator.";
  for (const name of ["shot", "live"]) get(name).disabled = !may;
  const note = get("role-note");
  note.hidden = may;
  note.textContent = why;
  const order = [...sight.cameras].sort((a, b) => Number(a.band === "off") - Number(b.band === "off"));
  for (const card of cards) card.stop();
  cards = order.map((one) => new CameraCard(one, link, act));
  get("cameras").replaceChildren(...cards.map((card) => card.element));
  for (const card of cards) {
    card.allow(may);
    card.start();
  }
  get("aim").hidden = cards.length === 0;
  aim.want(order[0] ?? null);
  showChoices();
  await look();
}

get("sign-in").querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.currentTarget;
  const said = get("sign-in-said");
  const [code, known] = [form.code.value.trim(), form.token.value.trim()];
  said.textContent = code || known ? "…" : "Type the code";
  if (!code && !known) return;
  try {
    const token = known || (await link.pair(code)).token;
    link.keep(token, form.keep.checked);
    await enter();
    form.reset();
    said.textContent = "";
  } catch (error) {
    signedOut(error.words ?? error.message);
  }
});
get("sign-out").addEventListener("click", () => signedOut());

// --- what is shown -------------------------------------------------------------------------------------------------

function chosen(name, otherwise) {
  return JSON.parse(sessionStorage.getItem(`so2cam-align-${name}`) ?? "null") ?? otherwise;
}

function choose(name, value) {
  sessionStorage.setItem(`so2cam-align-${name}`, JSON.stringify(value));
  showChoices();
}

function choices(place, words, isOn, pick) {
  const buttons = Object.entries(words).map(([key, word]) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = word;
    button.dataset.testid = `${place.dataset.testid}-${key}`;
    button.setAttribute("aria-pressed", String(isOn(key)));
    button.addEventListener("click", () => {
      pick(key);
      place.querySelector(`[data-testid="${button.dataset.testid}"]`).focus();
    });
    return button;
  });
  place.replaceChildren(...buttons);
}

function showChoices() {
  const layout = chosen("layout", "both");
  const aids = new Set(chosen("aids", ["cross", "horizon", "places", "saturated"]));
  choices(get("layout"), LAYOUTS, (key) => key === layout, (key) => choose("layout", key));
  choices(get("aids"), AIDS, (key) => aids.has(key), (key) => {
    if (!aids.delete(key)) aids.add(key);
    choose("aids", [...aids]);
  });
  for (const card of cards) {
    card.element.hidden = layout !== "both" && card.sight.band !== layout;
    card.setAids(aids);
  }
}

// --- how it is -----------------------------------------------------------------------------------------------------

async function look() {
  clearTimeout(looking);
  const state = get("state");
  try {
    const [health, settings] = await Promise.all([link.get("health"), link.get("settings")]);
    showHealth(health.health);
    for (const card of cards) card.showSettings(settings.devices[card.sight.device]);
    state.classList.remove("bad");
    state.textContent = `${health.health.activity} · ${role}`;
  } catch (error) {
    state.classList.add("bad");
    state.textContent = error.status === 401 ? "" : error.message;
  }
  if (link.token !== null || session !== undefined) looking = setTimeout(() => void look(), LOOK_MS);
}

function showHealth(health) {
  const cameras = health.devices.filter((device) => device.role === "camera");
  live = cameras.some((device) => device.state === "capturing" && device.kind === "test");
  const busy = cameras.length > 0 && cameras.every((device) => BUSY.has(device.state));
  const button = get("live");
  button.textContent = live ? "Stop live pictures" : busy ? "Capturing already" : "Live pictures";
  button.classList.toggle("on", live);
  button.disabled = role === "viewer" || (busy && !live);
  const lines = health.devices.map((device) => ({
    verdict: device.level === "ok" ? "good" : "bad",
    title: device.name,
    text: [device.state, device.last_item_age_s === null ? "" : `last item ${age(device.last_item_age_s)} ago`]
      .filter(Boolean)
      .join(", "),
    remedy: device.level === "ok" ? null : device.last_error,
  }));
  for (const disk of health.disks) {
    const free = disk.free_bytes === null ? "" : `${(disk.free_bytes / 1e9).toFixed(1)} GB free`;
    lines.push({ verdict: disk.present ? "good" : "bad", title: disk.name, text: disk.present ? free : "is not there", remedy: disk.note });
  }
  const clock = health.clock.quality;
  const set = clock !== "unset" && clock !== "free";
  lines.push({ verdict: set ? "good" : "bad", title: "clock", text: clock, remedy: set ? null : "set the clock, or wait for GPS or the network" });
  for (const alarm of health.alarms) lines.push({ verdict: "bad", title: alarm.name, text: alarm.text, remedy: null });
  list(get("health"), lines);
}

function age(seconds) {
  return seconds < 90 ? `${seconds.toFixed(0)} s` : `${(seconds / 60).toFixed(0)} min`;
}

function list(place, lines) {
  const items = lines.map(({ verdict, title, text, remedy }) => {
    const [item, words, name] = ["li", "div", "b"].map((tag) => document.createElement(tag));
    item.className = verdict;
    name.textContent = title;
    words.append(name, text ? `: ${text}` : "");
    if (remedy) {
      const what = document.createElement("em");
      what.textContent = remedy;
      words.append(what);
    }
    item.append(words);
    return item;
  });
  place.replaceChildren(...items);
}

// --- what is done --------------------------------------------------------------------------------------------------

get("shot").addEventListener("click", () => {
  const devices = cards.map((card) => card.sight.device);
  void act(get("said"), async () => (await link.command({ type: "shot", devices, kind: "test" })).text);
});
get("live").addEventListener("click", () => {
  const devices = cards.map((card) => card.sight.device);
  const say = live ? { type: "stop", devices } : { type: "start", devices, kind: "test", count: LIVE };
  void act(get("said"), async () => (await link.command(say)).text);
});
get("examine").addEventListener("click", () => {
  void act(get("examine-said"), async () => {
    const { findings, good } = await link.get("examination");
    showFindings(findings.map((each) => ({ ...each, title: `${each.topic}: ${each.title}` })));
    const bad = findings.filter((each) => each.verdict === "bad").length;
    if (!good) throw new Error(`${bad} of ${findings.length} need you`);
    return "All is well";
  });
});

/** What is bad first; what is not of this node only where somebody wants to see it. */
function showFindings(lines) {
  const of = (verdict) => lines.filter((line) => line.verdict === verdict);
  list(get("findings"), [...of("bad"), ...of("good")]);
  const rest = get("rest");
  rest.hidden = of("none").length === 0;
  rest.firstElementChild.textContent = `${of("none").length} more that this node does not have, or cannot see`;
  list(rest.lastElementChild, of("none"));
}

if (link.token === null && session === undefined) signedOut();
else enter().catch((error) => (error.status === 401 ? null : retry(error)));

/** The instrument did not answer at the start: say so, and try again until it does. */
function retry(error) {
  const state = get("state");
  state.classList.add("bad");
  state.textContent = "no answer";
  const lost = get("lost");
  lost.hidden = false;
  lost.firstElementChild.textContent = error.message;
  lost.lastElementChild.textContent = `${error.remedy ? `What helps: ${error.remedy}. ` : ""}This page goes on trying by itself.`;
  setTimeout(() => enter().catch((again) => (again.status === 401 ? null : retry(again))), LOOK_MS);
}
