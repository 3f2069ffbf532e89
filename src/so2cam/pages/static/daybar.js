// A day of the schedule: the sky, a lane for each window that can be dragged, and what comes of all of them.
// Attribute data-day: JSON of web/instrument/schedule.py. Event "window-changed": detail {index, start, end,
// sun_above_deg, sun_below_deg}, with what the drag changed. Hours are UTC, 0 to 24.

const SNAP_MIN = 5;
const SNAP_DEG = 0.5;
const NAMES = { capture: "capture", darks: "darks", housekeeping: "housekeeping", power: "power" };

const clock = (hours) => {
  const minutes = Math.round(hours * 60);
  return `${String(Math.floor(minutes / 60)).padStart(2, "0")}:${String(minutes % 60).padStart(2, "0")}`;
};
const hoursOf = (text) => {
  const [hours, minutes] = text.split(":").map(Number);
  return hours + minutes / 60;
};
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const make = (tag, name, parent) => {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (parent) parent.append(made);
  return made;
};

/** The sun's elevation [degrees] at an hour of the day. */
function elevationAt(data, hours) {
  const at = clamp((hours / 24) * (data.elevations.length - 1), 0, data.elevations.length - 1);
  const before = Math.floor(at);
  const after = Math.min(before + 1, data.elevations.length - 1);
  return data.elevations[before] + (at - before) * (data.elevations[after] - data.elevations[before]);
}

/** When all conditions of a window hold, to a minute: to be seen while it is dragged; the station knows it exactly. */
function spansOf(data, window) {
  const found = [];
  let start = null;
  for (let minute = 0; minute <= 1440; minute += 1) {
    const on = minute < 1440 && holds(data, window, minute / 60);
    if (on && start === null) start = minute / 60;
    if (!on && start !== null) {
      found.push([start, minute / 60]);
      start = null;
    }
  }
  return found;
}

function holds(data, window, hours) {
  if (window.start && window.end) {
    const [first, last] = [hoursOf(window.start), hoursOf(window.end)];
    if (first < last ? hours < first || hours >= last : hours < first && hours >= last) return false;
  }
  const elevation = elevationAt(data, hours);
  return !(window.sun_above_deg != null && elevation < window.sun_above_deg) && !(window.sun_below_deg != null && elevation >= window.sun_below_deg);
}

/** Which condition of a window makes one end of a span: its clock, or the sun. */
function limitOf(data, window, hours, end) {
  const near = (text) => {
    const apart = Math.abs(hoursOf(text) - hours);
    return Math.min(apart, 24 - apart) < 0.05;
  };
  if (window.start && window.end && near(end === "start" ? window.start : window.end)) return end;
  const elevation = elevationAt(data, hours);
  const above = window.sun_above_deg == null ? Infinity : Math.abs(window.sun_above_deg - elevation);
  const below = window.sun_below_deg == null ? Infinity : Math.abs(window.sun_below_deg - elevation);
  if (Math.min(above, below) > 2) return null;
  return above <= below ? "sun_above_deg" : "sun_below_deg";
}

class DayBar extends HTMLElement {
  static observedAttributes = ["data-day"];

  connectedCallback() {
    this.classList.add("so-daybar");
    this.draw();
  }

  attributeChangedCallback() {
    if (!this.dragging && this.isConnected) this.draw();
  }

  draw() {
    const text = this.getAttribute("data-day");
    if (!text) return;
    this.data = JSON.parse(text);
    const focused = this.contains(document.activeElement) ? document.activeElement.dataset.testid : null;
    this.replaceChildren();
    this.drawSky();
    this.data.windows.forEach((window, index) => this.drawWindow(window, index));
    this.drawResults();
    if (focused) this.querySelector(`[data-testid="${focused}"]`)?.focus();
  }

  lane(label, name, hint) {
    const row = make("div", `so-lane ${name}`, this);
    const words = make("span", "so-lane-label", row);
    words.textContent = label;
    if (hint) words.title = hint;
    const track = make("div", "so-track", row);
    if (this.data.now !== null) {
      const now = make("i", "so-now", track);
      now.style.left = `${(100 * this.data.now) / 24}%`;
      now.title = "now";
    }
    return track;
  }

  block(track, [start, end], name) {
    const made = make("div", name, track);
    made.style.left = `${(100 * start) / 24}%`;
    made.style.width = `${(100 * (end - start)) / 24}%`;
    return made;
  }

  drawSky() {
    const track = this.lane("sun", "is-sky", `${this.data.day}, at the instrument`);
    for (const name of ["astronomical", "nautical", "civil", "day"]) {
      for (const span of this.data.light[name]) this.block(track, span, `so-light is-${name}`);
    }
    const points = this.data.elevations.map((value, index) => `${(100 * index) / (this.data.elevations.length - 1)},${50 - (value / 90) * 48}`).join(" ");
    const svg = `<svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true"><line x1="0" x2="100" y1="50" y2="50"/><polyline points="${points}"/></svg>`;
    track.insertAdjacentHTML("beforeend", svg);
    const highest = this.data.elevations.indexOf(Math.max(...this.data.elevations));
    const top = make("span", "so-top", track);
    top.textContent = `${Math.round(this.data.elevations[highest])}°`;
    top.style.left = `${(100 * highest) / (this.data.elevations.length - 1)}%`;
    top.title = "highest elevation of the sun";
    track.addEventListener("pointermove", (event) => {
      const hours = this.hoursAt(track, event.clientX);
      track.title = `${clock(hours)} UTC, ${this.local(hours)}: sun ${elevationAt(this.data, hours).toFixed(1)}°`;
    });
  }

  local(hours) {
    const time = new Date(Date.parse(`${this.data.day}T00:00:00Z`) + hours * 3600e3);
    return `${time.toLocaleTimeString("sv-SE", { hour: "2-digit", minute: "2-digit" })} here`;
  }

  drawWindow(window, index) {
    const track = this.lane(`${index + 1} ${NAMES[window.do] ?? window.do}`, `is-window is-${window.do}`, "drag its ends, or type below");
    track.dataset.testid = `lane-${index + 1}`;
    this.fillWindow(track, window, index, window.spans);
  }

  fillWindow(track, window, index, spans) {
    track.querySelectorAll(".so-block").forEach((block) => block.remove());
    spans.forEach((span, part) => {
      const block = this.block(track, span, `so-block is-${window.do}`);
      const words = make("span", "", block);
      words.textContent = `${clock(span[0])}–${clock(span[1])}`;
      const room = ((span[1] - span[0]) / 24) * (track.clientWidth || 900);
      block.classList.toggle("is-narrow", room < 110);
      block.title = `${clock(span[0])} to ${clock(span[1])} UTC; from ${this.local(span[0])}`;
      if (!this.data.editable) return;
      for (const end of ["start", "end"]) this.handle(track, block, window, index, span, part, end);
      if (window.start && window.sun_above_deg == null && window.sun_below_deg == null) this.movable(track, block, window, index);
    });
  }

  handle(track, block, window, index, span, part, end) {
    const hours = end === "start" ? span[0] : span[1];
    let limit = limitOf(this.data, window, hours, end);
    const whole = !window.start && window.sun_above_deg == null && window.sun_below_deg == null;
    if (whole) limit = end;
    if (limit === null) return;
    const grip = make("button", `so-grip is-${end}`, block);
    grip.type = "button";
    grip.dataset.testid = `grip-${index + 1}-${part + 1}-${end}`;
    grip.setAttribute("role", "slider");
    grip.setAttribute("aria-label", `${end} of window ${index + 1}`);
    grip.setAttribute("aria-valuenow", hours.toFixed(2));
    grip.setAttribute("aria-valuetext", limit.startsWith("sun") ? `sun at ${window[limit]} degrees` : `${clock(hours)} UTC`);
    const change = (changed, at) => {
      if (whole && !changed.start) changed.start = "00:00";
      if (whole && !changed.end) changed.end = "24:00";
      if (limit.startsWith("sun")) changed[limit] = clamp(Math.round(elevationAt(this.data, at) / SNAP_DEG) * SNAP_DEG, -90, 90);
      else changed[limit] = clock(clamp((Math.round((at * 60) / SNAP_MIN) * SNAP_MIN) / 60, 0, limit === "start" ? 23.9166 : 24));
    };
    grip.addEventListener("pointerdown", (event) => this.drag(event, track, window, index, change));
    grip.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -1, ArrowUp: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const changed = { ...window };
      if (limit.startsWith("sun")) changed[limit] = clamp(window[limit] + step * SNAP_DEG, -90, 90);
      else change(changed, hours + (step * SNAP_MIN) / 60);
      this.tell(index, window, changed);
    });
  }

  movable(track, block, window, index) {
    block.classList.add("is-movable");
    block.addEventListener("pointerdown", (event) => {
      if (event.target.closest(".so-grip")) return;
      const from = this.hoursAt(track, event.clientX);
      const [first, last] = [hoursOf(window.start), hoursOf(window.end)];
      const length = last > first ? last - first : last + 24 - first;
      this.drag(event, track, window, index, (changed, at) => {
        const moved = (Math.round(((first + at - from) * 60) / SNAP_MIN) * SNAP_MIN) / 60;
        const start = ((moved % 24) + 24) % 24;
        changed.start = clock(start);
        const stop = start + length;
        changed.end = clock(stop > 24 ? stop - 24 : stop);
      });
    });
  }

  hoursAt(track, x) {
    const box = track.getBoundingClientRect();
    return clamp(((x - box.left) / box.width) * 24, 0, 24);
  }

  drag(event, track, window, index, change) {
    event.preventDefault();
    event.stopPropagation();
    const before = { ...window };
    const changed = { ...window };
    const tip = make("output", "so-tip", track);
    this.dragging = true;
    const move = (moved) => {
      change(changed, this.hoursAt(track, moved.clientX));
      const sun = ["sun_above_deg", "sun_below_deg"].find((key) => changed[key] !== before[key]);
      tip.textContent = sun ? `sun ${changed[sun]}°` : `${changed.start}–${changed.end} UTC`;
      tip.style.left = `${(100 * this.hoursAt(track, moved.clientX)) / 24}%`;
      this.fillWindow(track, changed, index, spansOf(this.data, changed));
    };
    const end = (moved) => {
      removeEventListener("pointermove", move);
      removeEventListener("pointerup", end);
      removeEventListener("pointercancel", end);
      this.dragging = false;
      tip.remove();
      if (moved.type === "pointerup") this.tell(index, before, changed);
      else this.draw();
    };
    addEventListener("pointermove", move);
    addEventListener("pointerup", end);
    addEventListener("pointercancel", end);
  }

  tell(index, before, changed) {
    const detail = { index };
    let any = false;
    for (const key of ["start", "end", "sun_above_deg", "sun_below_deg"]) {
      if (changed[key] !== before[key]) {
        detail[key] = changed[key];
        any = true;
      }
    }
    if (any) this.dispatchEvent(new CustomEvent("window-changed", { bubbles: true, composed: true, detail }));
    else this.draw();
  }

  drawResults() {
    const words = { capture: "captures", darks: "dark sets", power: "has power" };
    for (const [action, label] of Object.entries(words)) {
      const track = this.lane(label, "is-result", "what comes of all windows together");
      track.dataset.testid = `result-${action}`;
      if (action === "darks") {
        for (const hours of this.data.dark_sets) {
          const tick = make("i", "so-tick", track);
          tick.style.left = `${(100 * hours) / 24}%`;
          tick.title = `a dark set at ${clock(hours)} UTC`;
        }
      }
      for (const span of this.data.actions[action]) {
        const block = this.block(track, span, `so-result is-${action}`);
        block.title = `${label}: ${clock(span[0])} to ${clock(span[1])} UTC`;
      }
    }
    const axis = make("div", "so-lane is-axis", this);
    make("span", "so-lane-label", axis).textContent = "UTC";
    const track = make("div", "so-track", axis);
    for (let hours = 0; hours <= 24; hours += 3) {
      const mark = make("span", hours % 6 ? "is-minor" : "", track);
      mark.textContent = String(hours).padStart(2, "0");
      mark.style.left = `${(100 * hours) / 24}%`;
      mark.title = this.local(hours);
    }
  }
}

if (!customElements.get("so-daybar")) customElements.define("so-daybar", DayBar);
