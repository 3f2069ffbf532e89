// The frame of every page: clock, ages of values, dark and light, keys, alarms in the bell, and the lost connection.
"use strict";
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const pad = (n) => String(n).padStart(2, "0");
  const utc = (d) => `${pad(d.getUTCHours())}:${pad(d.getUTCMinutes())}:${pad(d.getUTCSeconds())}`;
  const day = (d) => `${d.getUTCFullYear()}-${pad(d.getUTCMonth() + 1)}-${pad(d.getUTCDate())}`;
  // Swedish writes a time as ISO has it, in any zone: 2026-11-28 14:05:30 CET.
  const here = (d) => d.toLocaleString("sv-SE", { timeZoneName: "short" });
  const local = (d) => `${day(d)} ${utc(d)} UTC\n${here(d)} local`;

  // --- numbers, as web/parts.py writes them: to the second figure of 1 sigma, else three figures ---------------------
  function figures(value, sigma) {
    if (value === null || value === undefined || Number.isNaN(value)) return "–";
    const known = sigma > 0;
    const power = Number((known ? sigma : Math.abs(value)).toExponential(known ? 1 : 2).split("e")[1]);
    const places = Math.min(100, Math.max(0, (known ? 1 : 2) - power));
    const shown = (Number(value.toFixed(places)) || 0).toFixed(places); // no minus before a zero
    const text = known ? `${shown} ± ${sigma.toFixed(places)}` : value === 0 ? "0" : shown;
    return text.replace("-", "−");
  }

  // --- time: that of the station, which the browser's clock may not have --------------------------------------------
  let offset = 0;
  const now = () => new Date(Date.now() + offset);
  window.so2cam = Object.assign(window.so2cam || {}, { now, utc, day, here, local, figures });

  function ago(seconds) {
    const s = Math.max(0, Math.round(seconds));
    if (s < 90) return `${s} s ago`;
    if (s < 5400) return `${Math.round(s / 60)} min ago`;
    if (s < 129600) return `${Math.round(s / 3600)} h ago`;
    return `${Math.round(s / 86400)} d ago`;
  }

  function setText(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  function tick() {
    const at = now();
    const clock = $(".so-clock");
    if (clock) {
      setText(clock, `${utc(at)} UTC`);
      clock.title = local(at);
    }
    for (const element of document.querySelectorAll("[data-time]")) {
      const time = new Date(element.dataset.time);
      if (Number.isNaN(time.getTime())) {
        setText(element, "");
        continue;
      }
      const age = (at - time) / 1000;
      setText(element, ago(age));
      element.title = local(time);
      const limit = Number(element.dataset.stale);
      const holder = element.closest("[data-ages]");
      if (holder && limit > 0) holder.classList.toggle("is-stale", age > limit);
    }
  }

  // --- the page one is on, in sight where a screen is too narrow for all of them --------------------------------------
  const inSight = new WeakSet();
  function showHere() {
    for (const here of document.querySelectorAll("nav [aria-current]")) {
      if (inSight.has(here)) continue;
      inSight.add(here);
      const row = here.parentElement;
      row.scrollLeft = here.offsetLeft - row.offsetLeft - (row.clientWidth - here.offsetWidth) / 2;
    }
  }

  // --- dark and light -----------------------------------------------------------------------------------------------
  let chosen = null; // by hand, on this page: what loads later does not undo it
  const isDark = () => document.body.classList.contains("body--dark");
  function keepTheme() {
    if (chosen !== null && window.Quasar && isDark() !== chosen) window.Quasar.Dark.set(chosen);
  }
  function theme() {
    const dark = !isDark();
    if (chosen === null) new MutationObserver(keepTheme).observe(document.body, { attributeFilter: ["class"] });
    chosen = dark;
    document.cookie = `so2cam_theme=${dark ? "dark" : "light"};path=/;max-age=31536000;samesite=lax`;
    if (window.Quasar) window.Quasar.Dark.set(dark);
    document.dispatchEvent(new CustomEvent("so2cam-theme", { detail: { dark } }));
  }

  // --- keys ---------------------------------------------------------------------------------------------------------
  const help = () => $(".so-help");
  let pending = "";
  let pendingUntil = 0;
  function key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest?.("input, textarea, select, [contenteditable=true]")) return;
    const header = $(".so-header");
    if (!header) return;
    if (event.key === "?") {
      event.preventDefault();
      help()?.showModal();
      return;
    }
    if (help()?.open) return;
    const both = `${Date.now() < pendingUntil ? pending : ""} ${event.key}`.trim();
    const target = JSON.parse(header.dataset.keys || "{}")[both];
    if (target) {
      window.location.assign(target);
    } else if (event.key === "d" && both === "d" && window.Quasar) {
      theme();
    } else {
      pending = event.key;
      pendingUntil = Date.now() + 1500;
      return;
    }
    pending = "";
  }

  function click(event) {
    const what = event.target.closest?.("[data-do]")?.dataset.do;
    if (what === "theme") theme();
    else if (what === "help") help()?.showModal();
    else if (what === "close") help()?.close();
  }

  // --- at a glance: alarms, the station's clock, whether it is there ------------------------------------------------
  let missed = 0;
  function connection(lost) {
    const banner = $(".so-banner");
    if (banner && banner.hidden === lost) banner.hidden = !lost;
    document.body.classList.toggle("so-lost", lost);
  }

  function bell(alarms) {
    const element = $(".so-bell");
    if (!element) return;
    const count = $("b", element);
    count.hidden = alarms.open === 0;
    setText(count, String(alarms.open));
    element.dataset.level = alarms.open ? alarms.level : "";
    element.classList.toggle("is-new", alarms.unseen > 0);
    element.title = alarms.open
      ? `${alarms.open} alarm${alarms.open > 1 ? "s" : ""}, ${alarms.unseen} not acknowledged: ${alarms.text}`
      : "No alarms";
  }

  async function glance() {
    const header = $(".so-header");
    let wait = 3000;
    if (header && document.visibilityState === "visible") {
      const asked = Date.now();
      try {
        const answer = await fetch(`/pages/glance?site=${encodeURIComponent(header.dataset.site)}`, {
          signal: AbortSignal.timeout(8000),
          cache: "no-store",
        });
        if (answer.status === 401) {
          window.location.reload();
          return;
        }
        if (!answer.ok) throw new Error(String(answer.status));
        const found = await answer.json();
        missed = 0;
        connection(false);
        offset = Date.parse(found.time) - (asked + Date.now()) / 2;
        bell(found.alarms);
      } catch {
        missed += 1;
        connection(missed > 1);
        wait = 1000;
      }
    }
    setTimeout(glance, wait);
  }

  document.addEventListener("keydown", key);
  document.addEventListener("click", click);
  document.addEventListener("change", (event) => {
    if (event.target.dataset?.do === "site") window.location.assign(event.target.value);
  });
  const drawn = new MutationObserver(showHere);
  drawn.observe(document.documentElement, { childList: true, subtree: true });
  setTimeout(() => drawn.disconnect(), 10_000);
  setInterval(tick, 1000);
  tick();
  glance();
})();
