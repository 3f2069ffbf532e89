// The page by which an instrument is aimed, focused and set, from a phone beside the case.

import "./viewer.js";
import { Aim } from "./align-aim.js";
import { CameraCard } from "./align-camera.js";
import { Link } from "./align-link.js";
import { AlignNode, tellAll } from "./align-node.js";

const CLOCKS = {
  gps: "set by satellites",
  ntp: "set over the network",
  free: "runs free, nothing sets it",
  unset: "was never set",
};
const LOOK_MS = 3_000;
const LIVE = 600; // so many live pictures, lest a phone that is put away fills the disk
const LAYOUTS = { both: "Both", on: "On", off: "Off" };
const AIDS = { cross: "Cross", horizon: "Horizon", places: "Vent", saturated: "Saturated" };
const BUSY = new Set(["capturing", "darks", "cells"]);

const get = (name) => document.querySelector(`[data-testid="align-${name}"]`);
// session: where one signs in at a server that knows who one is; nodes: the messages of each computer of an instrument, by its name
const { base, nodes: several, session } = document.documentElement.dataset;
const places = several === undefined ? { "": base || "/v1/" } : JSON.parse(several);
const nodes = Object.entries(places).map(
  ([name, place]) => new AlignNode(name, new Link(place, () => signedOut("The token is not valid any more."), { session: session !== undefined })),
);
const { link } = nodes[0]; // by which one signs in
const aim = new Aim(document);
let cards = [];
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
  lookAtAll();
}

// --- who one is ----------------------------------------------------------------------------------------------------

function signedOut(words = "") {
  if (session !== undefined) {
    location.assign(session || "/");
    return;
  }
  link.forget();
  for (const card of cards) card.stop();
  for (const node of nodes) node.forget();
  get("cameras").replaceChildren();
  cards = [];
  get("main").hidden = true;
  get("sign-out").hidden = true;
  get("sign-in").hidden = false;
  get("sign-in-said").textContent = words;
  get("state").textContent = "";
}

/** Meet the nodes that are not met yet, and show the cameras of all that are. Throws where none answers. */
async function enter() {
  const unmet = nodes.filter((node) => !node.met);
  const told = await Promise.allSettled(unmet.map((node) => node.meet()));
  const met = nodes.filter((node) => node.met);
  if (met.length === 0) throw told[0].reason;
  const names = nodes.map((node) => node.name).join(" and ");
  get("node").textContent = `${met[0].hello.site}, ${names}`;
  document.title = `Align ${names}`;
  get("sign-in").hidden = true;
  get("main").hidden = false;
  get("sign-out").hidden = link.token === null;
  for (const name of ["shot", "live"]) get(name).disabled = !met.some((node) => node.may);
  const note = get("role-note");
  const may = met.every((node) => node.may);
  const why = "You are signed in as viewer: you may look. To take pictures or change settings, sign in as operator.";
  note.hidden = may;
  note.textContent = [...new Set(met.filter((node) => !node.may).map((node) => node.hello.note ?? why))].join(" ");
  const fresh = unmet.filter((node) => node.met);
  if (fresh.length > 0) {
    for (const node of fresh) addCards(node);
    get("aim").hidden = cards.length === 0;
    aim.want(cards[0]?.sight ?? null);
    showChoices();
  }
  const lost = nodes.filter((node) => !node.met);
  get("lost").hidden = lost.length === 0;
  if (lost.length > 0) {
    showLost(lost[0].error);
    setTimeout(() => void enter(), LOOK_MS);
  }
  await Promise.all(fresh.map((node) => look(node)));
}

/** Show the cameras of a node that was met just now, the on band first. */
function addCards(node) {
  node.cards = node.sights.map((sight) => new CameraCard(sight, node.link, act));
  cards = [...cards, ...node.cards].sort((a, b) => Number(a.sight.band === "off") - Number(b.sight.band === "off"));
  const place = get("cameras");
  cards.forEach((card, at) => {
    if (!card.element.isConnected) place.insertBefore(card.element, place.children[at] ?? null);
  });
  for (const card of node.cards) {
    card.allow(node.may);
    card.start();
  }
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

/** Ask a node how it is, again and again; one that does not answer holds up no other. */
async function look(node) {
  await node.look();
  clearTimeout(node.timer);
  showState();
  showHealth();
  if (link.token !== null || session !== undefined) node.timer = setTimeout(() => void look(node), LOOK_MS);
}

function lookAtAll() {
  for (const node of nodes) if (node.met) void look(node);
}

function showState() {
  const lost = nodes.filter((node) => node.error !== null);
  const said = nodes.map((node) => (node.error ? (node.error.status === 401 ? "" : node.error.message) : (node.health?.activity ?? "")));
  const one = new Set(said).size === 1;
  const words = one ? said.slice(0, 1) : said.map((text, at) => (nodes[at].error ? text : `${nodes[at].name}: ${text}`));
  const roles = [...new Set(nodes.filter((node) => node.met).map((node) => node.hello.role))].join(", ");
  const state = get("state");
  state.classList.toggle("bad", lost.length > 0);
  state.textContent = lost.length === nodes.length ? words.join("; ") : `${words.join("; ")} · ${roles}`;
}

function showHealth() {
  const known = nodes.filter((node) => node.health !== null);
  const cameras = known.flatMap((node) => node.health.devices.filter((device) => device.role === "camera"));
  live = cameras.some((device) => device.state === "capturing" && device.kind === "test");
  const busy = cameras.length > 0 && cameras.every((device) => BUSY.has(device.state));
  const button = get("live");
  button.textContent = live ? "Stop live pictures" : busy ? "Capturing already" : "Live pictures";
  button.classList.toggle("on", live);
  button.disabled = !nodes.some((node) => node.may) || (busy && !live);
  const lines = known.flatMap((node) => linesOf(node.health, nodes.length > 1 ? `${node.name}: ` : ""));
  if (nodes.length > 1) {
    for (const { name, error } of nodes) if (error) lines.unshift({ verdict: "bad", title: name, text: error.message, remedy: error.remedy });
  }
  list(get("health"), lines);
}

/** How the devices, disks, clock and alarms of a node are; `of` goes before what every node has. */
function linesOf(health, of) {
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
    const text = disk.present ? free : "is not there";
    lines.push({ verdict: disk.present ? "good" : "bad", title: `${of}${disk.name}`, text, remedy: disk.note });
  }
  const clock = health.clock.quality;
  const set = clock !== "unset" && clock !== "free";
  const remedy = set ? null : "set the clock, or wait for GPS or the network";
  lines.push({ verdict: set ? "good" : "bad", title: `${of}clock`, text: CLOCKS[clock] ?? clock, remedy });
  for (const alarm of health.alarms) lines.push({ verdict: "bad", title: `${of}${alarm.name}`, text: alarm.text, remedy: null });
  return lines;
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
  void act(get("said"), () => tellAll(nodes, (devices) => ({ type: "shot", devices, kind: "test" })));
});
get("live").addEventListener("click", () => {
  const say = (devices) => (live ? { type: "stop", devices } : { type: "start", devices, kind: "test", count: LIVE });
  void act(get("said"), () => tellAll(nodes, say));
});
get("examine").addEventListener("click", () => {
  void act(get("examine-said"), async () => {
    const found = await Promise.all(nodes.map(examine));
    const lines = found.flatMap(({ findings }) => findings);
    showFindings(lines);
    const bad = lines.filter((each) => each.verdict === "bad").length;
    if (!found.every(({ good }) => good)) throw new Error(`${bad} of ${lines.length} need you`);
    return "All is well";
  });
});

/** What the doctor of a node says; where there are others, one that does not answer is one of the findings. */
async function examine(node) {
  const of = nodes.length > 1 ? `${node.name}: ` : "";
  try {
    const { findings, good } = await node.link.get("examination");
    return { good, findings: findings.map((each) => ({ ...each, title: `${of}${each.topic}: ${each.title}` })) };
  } catch (error) {
    if (nodes.length === 1) throw error;
    return { good: false, findings: [{ verdict: "bad", title: node.name, text: error.message, remedy: error.remedy ?? null }] };
  }
}

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
  showLost(error);
  setTimeout(() => enter().catch((again) => (again.status === 401 ? null : retry(again))), LOOK_MS);
}

function showLost(error) {
  const lost = get("lost");
  lost.hidden = false;
  lost.firstElementChild.textContent = error.message;
  lost.lastElementChild.textContent = `${error.remedy ? `What helps: ${error.remedy}. ` : ""}This page goes on trying by itself.`;
}
