// <so2cam-trends src="/pages/health/trends?site=..." span="6h" node="lead">: small plots with one axis of time and one
// crosshair. It asks for its numbers by itself and draws SVG; colours are those of the page, light or dark.
const NS = "http://www.w3.org/2000/svg";
const CLOCK = [60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 14400, 21600, 43200, 86400, 172800];
const BREAK = 200; // seconds without a record after which a line is broken: a record comes once a minute
const MINUS = "\u2212";

const pad = (n) => String(n).padStart(2, "0");
const rem = () => parseFloat(getComputedStyle(document.documentElement).fontSize);

function text(value, digits) {
  if (value === null || value === undefined) return "–";
  const shown = value.toFixed(digits);
  return (Number(shown) === 0 ? (0).toFixed(digits) : shown).replace("-", MINUS);
}

function moment(seconds, span) {
  const d = new Date(seconds * 1000);
  const clock = `${pad(d.getUTCHours())}:${pad(d.getUTCMinutes())}`;
  if (span > 172800) return d.getUTCHours() === 0 ? `${pad(d.getUTCMonth() + 1)}-${pad(d.getUTCDate())}` : clock;
  return clock;
}

function step(range, count) {
  const rough = range / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  for (const factor of [1, 2, 5, 10]) if (factor * power >= rough * 0.999) return factor * power;
  return 10 * power;
}

function make(name, attributes = {}, parent = null, words = null) {
  const element = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (words !== null) element.textContent = words;
  parent?.append(element);
  return element;
}

function html(name, className, parent, words = null) {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (words !== null) element.textContent = words;
  parent?.append(element);
  return element;
}

class Plot {
  // One chart: a heading with the newest values, and the picture below it.
  constructor(owner, chart) {
    this.owner = owner;
    this.box = html("figure", "so-chart");
    this.box.dataset.testid = `trend-${chart.key}`;
    const head = html("figcaption", "", this.box);
    this.title = html("span", "so-chart-title", head);
    this.note = html("span", "so-chart-far", head);
    this.values = html("span", "so-chart-values", head);
    this.picture = make("svg", { role: "img" }, this.box);
    this.picture.addEventListener("pointermove", (event) => this.hover(event));
    this.picture.addEventListener("pointerdown", (event) => this.hover(event));
    this.picture.addEventListener("pointerleave", () => this.owner.point(null));
  }

  take(chart, answer) {
    this.chart = chart;
    this.answer = answer;
    this.title.textContent = chart.title;
    const single = chart.series.length === 1;
    if (!single) html("small", "", this.title, chart.unit);
    this.box.classList.toggle("is-single", single);
    this.title.title = chart.hint;
    this.draw();
  }

  range() {
    const values = this.chart.series.flatMap((one) => one.points.map((point) => point[1])).filter((v) => v !== null);
    let low = Math.min(...values);
    let high = Math.max(...values);
    if (this.chart.zero) low = Math.min(0, low);
    if (this.chart.top !== null) high = Math.max(high, this.chart.top);
    const least = 4 * 10 ** -this.chart.digits;
    if (high - low < least) {
      const middle = (high + low) / 2;
      low = this.chart.zero ? Math.min(0, low) : middle - least / 2;
      high = Math.max(high, low + least);
    }
    this.drawn = [];
    this.far = []; // so far away that the curve would be flat: said, not drawn
    for (const limit of this.chart.limits) {
      const wide = Math.max(high, limit.value) - Math.min(low, limit.value);
      if (wide > 4 * (high - low)) {
        this.far.push(limit);
        continue;
      }
      this.drawn.push(limit);
      low = Math.min(low, limit.value);
      high = Math.max(high, limit.value);
    }
    const room = (high - low) * 0.08;
    return [this.chart.zero && low >= 0 ? low : low - room, high + room];
  }

  draw() {
    const unit = rem();
    const width = Math.max(160, Math.round(this.box.clientWidth));
    const height = Math.round(7.6 * unit);
    const small = 0.78 * unit;
    const [low, high] = this.range();
    let gap = step(high - low, 3);
    if (Math.floor(high / gap) - Math.ceil(low / gap) < 1) gap = step(high - low, 6);
    const digits = Math.max(0, -Math.floor(Math.log10(gap) + 1e-9));
    const ticks = [];
    for (let at = Math.ceil(low / gap) * gap; at <= high + gap * 1e-6; at += gap) ticks.push(at);
    const longest = Math.max(...ticks.map((at) => text(at, digits).length));
    const left = Math.round((longest * 0.58 + 0.6) * small);
    const right = 4;
    const top = 5;
    const foot = Math.round(1.5 * small);
    const { start, end } = this.answer;
    this.x = (t) => left + ((t - start) / (end - start)) * (width - left - right);
    this.t = (x) => start + ((x - left) / (width - left - right)) * (end - start);
    this.y = (v) => top + (1 - (v - low) / (high - low)) * (height - top - foot);
    const svg = this.picture;
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("height", height);
    svg.setAttribute("aria-label", `${this.chart.title}: ${this.sentence()}`);
    const inner = height - foot;
    for (const at of ticks) {
      make("line", { x1: left, x2: width - right, y1: this.y(at), y2: this.y(at), class: "grid" }, svg);
      make("text", { x: left - 0.4 * small, y: this.y(at) + 0.35 * small, class: "axis", "text-anchor": "end" }, svg, text(at, digits));
    }
    this.drawTime(svg, width - left - right, left, width - right, inner, height, small);
    for (const limit of this.drawn) {
      const y = this.y(limit.value);
      const edge = limit.side === "above" ? top : inner;
      make("rect", { x: left, width: width - left - right, y: Math.min(y, edge), height: Math.abs(edge - y), class: `beyond ${limit.level}` }, svg);
      const line = make("line", { x1: left, x2: width - right, y1: y, y2: y, class: `limit ${limit.level}` }, svg);
      make("title", {}, line, `${limit.name}: ${limit.level} ${limit.side} ${text(limit.value, this.chart.digits)} ${this.chart.unit}`);
    }
    this.note.textContent = this.far
      .map((limit) => `${limit.level} ${limit.side} ${Number(limit.value.toPrecision(4))}`.replace("-", MINUS))
      .join(", ");
    this.chart.series.forEach((one, index) => this.drawSeries(svg, one, index, unit));
    this.cross = make("line", { y1: top, y2: inner, class: "cross", visibility: "hidden" }, svg);
    this.when = make("text", { y: height - 0.3 * small, class: "when", "text-anchor": "middle" }, svg);
    this.edges = [left + 1.6 * small, width - right - 2.4 * small];
    this.show(null);
  }

  drawTime(svg, wide, left, right, inner, height, small) {
    const { start, end } = this.answer;
    const most = Math.max(2, Math.floor(wide / (4.6 * small)));
    const gap = CLOCK.find((seconds) => (end - start) / seconds <= most) ?? 172800;
    for (let at = Math.ceil(start / gap) * gap; at <= end; at += gap) {
      const x = this.x(at);
      make("line", { x1: x, x2: x, y1: 5, y2: inner, class: "grid" }, svg);
      const half = 1.5 * small;
      if (x > left + half * 0.4 && x < right - half) {
        make("text", { x, y: height - 0.3 * small, class: "axis", "text-anchor": "middle" }, svg, moment(at, end - start));
      }
    }
  }

  drawSeries(svg, one, index, unit) {
    const gap = Math.max(3.5 * this.answer.step, BREAK);
    let path = "";
    let before = null;
    let alone = null;
    const dots = [];
    for (const [t, value] of one.points) {
      if (value === null) { before = null; continue; }
      const x = this.x(t).toFixed(1);
      const y = this.y(value).toFixed(1);
      const joined = before !== null && t - before <= gap;
      if (!joined && alone) dots.push(alone);
      alone = joined ? null : [x, y];
      path += `${joined ? "L" : "M"}${x} ${y}`;
      before = t;
    }
    if (alone) dots.push(alone);
    const name = `series s${(index % 6) + 1}`;
    make("path", { d: path, class: name, "stroke-width": (0.1 * unit).toFixed(1) }, svg);
    for (const [x, y] of dots) make("circle", { cx: x, cy: y, r: (0.12 * unit).toFixed(1), class: `${name} dot` }, svg);
  }

  nearest(points, t) {
    let best = null;
    for (const point of points) {
      if (point[1] !== null && (best === null || Math.abs(point[0] - t) < Math.abs(best[0] - t))) best = point;
    }
    if (best === null || Math.abs(best[0] - t) > Math.max(3.5 * this.answer.step, BREAK)) return null;
    return best;
  }

  sentence() {
    return this.chart.series.map((one) => `${one.label} ${text(this.newest(one), this.chart.digits)} ${this.chart.unit}`).join(", ");
  }

  newest(one) {
    for (let i = one.points.length - 1; i >= 0; i -= 1) if (one.points[i][1] !== null) return one.points[i][1];
    return null;
  }

  show(t) {
    this.values.replaceChildren();
    this.chart.series.forEach((one, index) => {
      const point = t === null ? null : this.nearest(one.points, t);
      const value = t === null ? this.newest(one) : point === null ? null : point[1];
      const item = html("span", "", this.values);
      if (this.chart.series.length > 1) {
        html("i", `key s${(index % 6) + 1}`, item);
        html("span", "name", item, `${one.label} `);
      }
      html("b", "", item, text(value, this.chart.digits));
      if (this.chart.series.length === 1) html("small", "", item, ` ${this.chart.unit}`);
    });
    this.values.classList.toggle("is-then", t !== null);
    if (t === null) {
      this.cross.setAttribute("visibility", "hidden");
      this.when.textContent = "";
    } else {
      const at = new Date(t * 1000);
      const long = this.answer.end - this.answer.start > 86400;
      const date = long ? `${pad(at.getUTCMonth() + 1)}-${pad(at.getUTCDate())} ` : "";
      this.when.textContent = `${date}${pad(at.getUTCHours())}:${pad(at.getUTCMinutes())}${long ? "" : `:${pad(at.getUTCSeconds())}`}`;
      this.when.setAttribute("x", Math.min(Math.max(this.x(t), this.edges[0]), this.edges[1]));
      this.cross.setAttribute("x1", this.x(t));
      this.cross.setAttribute("x2", this.x(t));
      this.cross.setAttribute("visibility", "visible");
    }
  }

  hover(event) {
    const box = this.picture.getBoundingClientRect();
    const t = this.t(((event.clientX - box.left) / box.width) * this.picture.viewBox.baseVal.width);
    this.owner.point(Math.min(this.answer.end, Math.max(this.answer.start, t)));
  }
}

class Trends extends HTMLElement {
  static observedAttributes = ["src", "span", "node"];

  connectedCallback() {
    if (!this.note) {
      this.note = html("div", "so-charts-note", this);
      this.grid = html("div", "so-charts", this);
      this.foot = html("div", "so-charts-foot", this);
      this.plots = new Map();
    }
    this.alive = true;
    this.resize = new ResizeObserver(() => {
      if (this.width !== this.clientWidth) {
        this.width = this.clientWidth;
        for (const plot of this.plots.values()) if (plot.chart) plot.draw();
      }
    });
    this.resize.observe(this);
    this.seen = () => document.visibilityState === "visible" && this.look();
    document.addEventListener("visibilitychange", this.seen);
    this.look();
  }

  disconnectedCallback() {
    this.alive = false;
    clearTimeout(this.timer);
    this.resize.disconnect();
    document.removeEventListener("visibilitychange", this.seen);
  }

  attributeChangedCallback(name, before, after) {
    if (!this.alive || before === after) return;
    this.made = "";
    this.look();
  }

  async look() {
    clearTimeout(this.timer);
    const turn = (this.turn = (this.turn ?? 0) + 1);
    let wait = 10000;
    if (document.visibilityState === "visible") {
      const url = new URL(this.getAttribute("src"), window.location.href);
      for (const name of ["span", "node"]) url.searchParams.set(name, this.getAttribute(name) ?? "");
      if (this.made) url.searchParams.set("after", this.made);
      try {
        const answer = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(30000) });
        if (turn !== this.turn || !this.alive) return;
        if (answer.status === 200) this.take(await answer.json());
        else if (answer.status !== 204) throw new Error(String(answer.status));
        this.classList.remove("is-lost");
      } catch {
        if (turn !== this.turn || !this.alive) return;
        this.classList.add("is-lost");
        wait = 3000;
      }
    }
    this.timer = setTimeout(() => this.look(), wait);
  }

  take(answer) {
    this.made = answer.made;
    this.note.textContent = answer.charts.length ? "" : "The instrument told nothing of its health in this time.";
    const wanted = new Set(answer.charts.map((chart) => chart.key));
    for (const [key, plot] of this.plots) {
      if (!wanted.has(key)) {
        plot.box.remove();
        this.plots.delete(key);
      }
    }
    for (const chart of answer.charts) {
      let plot = this.plots.get(chart.key);
      if (!plot) {
        plot = new Plot(this, chart);
        this.plots.set(chart.key, plot);
      }
      this.grid.append(plot.box);
    }
    for (const chart of answer.charts) this.plots.get(chart.key).take(chart, answer);
    const missing = answer.charts.length ? answer.missing : [];
    this.foot.textContent = missing.length ? `Not measured here: ${missing.join(", ").toLowerCase()}.` : "";
    this.dataset.charts = String(answer.charts.length);
    this.dataset.made = answer.made;
    this.dataset.span = String(Math.round(answer.end - answer.start));
  }

  point(t) {
    for (const plot of this.plots.values()) plot.show(t);
    if (t === null || !window.so2cam) {
      this.grid.removeAttribute("title");
    } else {
      const at = new Date(t * 1000);
      this.grid.title = window.so2cam.local(at);
    }
  }
}

customElements.define("so2cam-trends", Trends);
