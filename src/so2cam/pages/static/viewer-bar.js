// The colour bar: what colour means which value, with two handles for contrast, ticks with the unit, and a histogram.

import { NAMES, STEPS, TITLES, table } from "./colourmaps.js";
import { formatValue, power, ticks } from "./viewer-format.js";

const BINS = 128;
const TICK_PX = 84;
const UNIT_PX = 16;
const LETTER_PX = 8;

export class Bar {
  /** `host`: setContrast(contrast | null), setColours(name), setMarks(on). `root`: the shadow root. */
  constructor(host, root) {
    this.host = host;
    const get = (id) => root.querySelector(`[data-testid="${id}"]`);
    this.track = get("viewer-bar");
    this.canvas = this.track.querySelector("canvas");
    this.scale = root.querySelector(".ticks");
    this.ends = [get("viewer-bar-low"), get("viewer-bar-high")];
    this.auto = get("viewer-auto");
    this.select = get("viewer-colours");
    this.marks = get("viewer-marks");
    this.domain = null;
    this.held = null;
    this.state = null;
    for (const name of NAMES) this.select.append(new Option(TITLES[name], name));
    this.select.addEventListener("change", () => host.setColours(this.select.value));
    this.auto.addEventListener("click", () => host.setContrast(null));
    this.marks.addEventListener("click", () => host.setMarks(this.marks.getAttribute("aria-pressed") !== "true"));
    this.track.addEventListener("dblclick", () => host.setContrast(null));
    this.track.addEventListener("pointerdown", (event) => this.grab(event));
    this.ends.forEach((end, index) => end.addEventListener("keydown", (event) => this.key(event, index)));
  }

  /** Draw: {colours, contrast, automatic, header, statistics, marked, histogram}. */
  update(state) {
    this.state = state;
    this.select.value = state.colours;
    this.auto.setAttribute("aria-pressed", String(state.automatic));
    this.marks.setAttribute("aria-pressed", String(state.marked));
    this.marks.hidden = !state.header || state.header.saturation === null;
    if (!this.held) this.domain = this.findDomain(state);
    this.draw();
  }

  findDomain({ contrast, header, statistics }) {
    if (!contrast) return null;
    const ends = header
      ? [0.01, 0.99].map((share) => statistics.code(share) * header.scale + header.offset)
      : [...contrast];
    let low = Math.min(...ends, contrast[0]);
    let high = Math.max(...ends, contrast[1]);
    const margin = 0.15 * (high - low) || Math.abs(header?.scale ?? 1);
    [low, high] = [low - margin, high + margin];
    // A live image trembles: ends that hardly moved stay, so that the bar can be read.
    const old = this.domain;
    if (!old || old.header?.unit !== header?.unit) return { low, high, header };
    const still = (was, is, outside) => !outside && Math.abs(was - is) < 0.04 * (high - low);
    return {
      low: still(old.low, low, old.low > Math.min(...ends, contrast[0])) ? old.low : low,
      high: still(old.high, high, old.high < Math.max(...ends, contrast[1])) ? old.high : high,
      header,
    };
  }

  draw() {
    const { state, domain } = this;
    const width = this.track.clientWidth;
    if (!domain || !width) return;
    const ratio = window.devicePixelRatio || 1;
    const height = this.track.clientHeight;
    const { canvas } = this;
    const [columns, rows] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== columns) canvas.width = columns;
    if (canvas.height !== rows) canvas.height = rows;
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, columns, rows);
    const colours = table(state.colours);
    const [low, high] = state.contrast;
    const top = state.histogram ? Math.round(rows * 0.62) : 0;
    for (let column = 0; column < columns; column += 1) {
      const value = domain.low + ((column + 0.5) / columns) * (domain.high - domain.low);
      const part = Math.floor(((value - low) / (high - low)) * STEPS);
      const step = 3 * Math.min(Math.max(part, 0), STEPS - 1);
      context.fillStyle = `rgb(${colours[step]} ${colours[step + 1]} ${colours[step + 2]})`;
      context.fillRect(column, top, 1, rows - top);
    }
    if (state.histogram && state.header) this.drawHistogram(context, columns, top);
    this.ends.forEach((end, index) => this.placeEnd(end, state.contrast[index]));
    this.drawTicks(width);
  }

  drawHistogram(context, columns, height) {
    const { statistics, header } = this.state;
    const code = (value) => (value - header.offset) / header.scale;
    const counts = statistics.histogram(code(this.domain.low), code(this.domain.high), BINS);
    const most = Math.max(...counts, 1);
    context.fillStyle = getComputedStyle(this.track).color;
    counts.forEach((count, index) => {
      const part = Math.sqrt(count / most) * (height - 2);
      const [left, right] = [index, index + 1].map((edge) => Math.round((edge / BINS) * columns));
      if (count) context.fillRect(left, height - part, right - left, part);
    });
  }

  placeEnd(end, value) {
    const { low, high, header } = this.domain;
    end.style.left = `${(((value - low) / (high - low)) * 100).toFixed(3)}%`;
    end.setAttribute("aria-valuemin", String(low));
    end.setAttribute("aria-valuemax", String(high));
    end.setAttribute("aria-valuenow", String(value));
    end.setAttribute("aria-valuetext", `${formatValue(value, header?.scale ?? 1)} ${header?.unit ?? ""}`.trim());
  }

  drawTicks(width) {
    const { low, high, header } = this.domain;
    const made = ticks(low, high, width / TICK_PX);
    const unit = `${made.exponent ? `${power(made.exponent)} ` : ""}${header?.unit ?? ""}`;
    const last = 100 * (1 - (unit ? UNIT_PX + LETTER_PX * unit.length : 0) / width);
    const texts = made.values
      .map((value) => [made.text(value), ((value - low) / (high - low)) * 100])
      .filter(([, place]) => place < last);
    const key = JSON.stringify([texts, unit]);
    if (this.scale.dataset.key === key) return;
    this.scale.dataset.key = key;
    const labels = texts.map(([text, place]) => {
      const label = document.createElement("span");
      label.textContent = text;
      label.style.left = `${place.toFixed(2)}%`;
      return label;
    });
    const end = document.createElement("b");
    end.textContent = unit;
    this.scale.replaceChildren(...labels, end);
  }

  // --- contrast by hand ----------------------------------------------------------------------------------------

  valueAt(clientX) {
    const box = this.track.getBoundingClientRect();
    return this.domain.low + ((clientX - box.left) / box.width) * (this.domain.high - this.domain.low);
  }

  /** The nearer end is taken; from the middle between both, both move together. */
  grab(event) {
    if (!this.domain || event.button !== 0) return;
    event.preventDefault();
    const box = this.track.getBoundingClientRect();
    const places = this.state.contrast.map(
      (value) => box.left + ((value - this.domain.low) / (this.domain.high - this.domain.low)) * box.width,
    );
    const apart = places.map((place) => Math.abs(place - event.clientX));
    const index = apart[0] <= apart[1] ? 0 : 1;
    const between = event.clientX > places[0] && event.clientX < places[1];
    const both = between && apart[index] > 24;
    const own = event.target.closest?.("[role=slider]");
    const taken = own ? this.ends.indexOf(own) : both ? null : index;
    if (taken !== null) this.ends[taken].focus({ preventScroll: true });
    this.held = { taken, from: this.valueAt(event.clientX), contrast: [...this.state.contrast] };
    this.track.setPointerCapture(event.pointerId);
    let moved = false;
    const move = (each) => {
      moved ||= Math.abs(each.clientX - event.clientX) > 2;
      if (moved) this.drag(this.valueAt(each.clientX));
    };
    const end = () => {
      this.track.removeEventListener("pointermove", move);
      this.held = null;
      if (moved) this.host.settle();
    };
    this.track.addEventListener("pointermove", move);
    this.track.addEventListener("lostpointercapture", end, { once: true });
  }

  drag(value) {
    const { taken, from, contrast } = this.held;
    const by = value - from;
    if (taken === null) this.host.setContrast([contrast[0] + by, contrast[1] + by], true);
    else this.setEnd(contrast, taken, contrast[taken] + by, true);
  }

  setEnd(contrast, index, value, moving) {
    const { low, high } = this.domain;
    const least = (high - low) / 500;
    const wanted = Math.min(Math.max(value, low), high);
    const next = [...contrast];
    next[index] = index === 0 ? Math.min(wanted, contrast[1] - least) : Math.max(wanted, contrast[0] + least);
    this.host.setContrast(next, moving);
  }

  key(event, index) {
    const sign = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
    if (!sign || !this.domain) return;
    event.preventDefault();
    event.stopPropagation();
    const step = ((this.domain.high - this.domain.low) / 100) * (event.shiftKey ? 10 : 1);
    this.setEnd(this.state.contrast, index, this.state.contrast[index] + sign * step, false);
  }
}
