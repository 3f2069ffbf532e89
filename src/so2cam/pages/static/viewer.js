// <so2cam-viewer>: an image from raw numbers, with colour bar, zoom, values and shapes. Needs nothing but a browser.
// What it offers is described in docs/reference/image-viewer.md.

import { Bar } from "./viewer-bar.js";
import { Draw } from "./viewer-draw.js";
import { Gestures } from "./viewer-gestures.js";
import { Labels } from "./viewer-labels.js";
import { Poller } from "./viewer-poll.js";
import { Screen } from "./viewer-canvas.js";
import { Shapes } from "./viewer-shapes.js";
import { Statistics, automaticContrast, completeHeader } from "./viewer-frame.js";
import { View } from "./viewer-view.js";
import { NAMES } from "./colourmaps.js";
import { furnish } from "./viewer-parts.js";
import { makeVectors, vectorsPath } from "./viewer-vectors.js";
import { KINDS } from "./viewer-geometry.js";
import { drawHost, gesturesHost, shapesHost } from "./viewer-hosts.js";

const AGE_MS = 500;
const BOOLEANS = ["readonly", "marks", "compact", "histogram"];

export class So2camViewer extends HTMLElement {
  static observedAttributes = ["src", "rate", "colours", "tool", "label", "hint", "stale-after", ...BOOLEANS];

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    furnish(root);
    this.get = (id) => root.querySelector(`[data-testid="${id}"]`);
    this.stage = this.get("viewer-stage");
    this.layer = root.querySelector(".layer");
    this.arrows = [...root.querySelectorAll(".vectors path")];
    this.vectors_ = [];
    this.sketch = [...root.querySelectorAll(".sketch")];
    this.view_ = new View();
    this.statistics = new Statistics();
    this.image = null; // {header, pixels}
    this.born = null; // when it was taken, by performance.now()
    this.fixed = null; // contrast by hand
    this.current = [0, 1];
    this.colours_ = "grey";
    this.connection = null;
    this.pointer = null;
    this.todo = { paint: false, draw: false, events: new Map() };
    this.labels = new Labels(root);
    this.screen = new Screen(this.get("viewer-canvas"));
    this.shapes_ = new Shapes(shapesHost(this));
    this.draw = new Draw(drawHost(this));
    this.gestures = new Gestures(gesturesHost(this));
    this.bar = new Bar(
      {
        setContrast: (contrast, moving) => this.setContrast(contrast, moving),
        setColours: (name) => (this.colours = name),
        setMarks: (on) => (this.marks = on),
        settle: () => this.emit("contrast-changed", { contrast: this.contrast }),
      },
      root,
    );
    this.poller = new Poller(
      ({ header, pixels }, age) => {
        this.setImage(header, pixels);
        this.born = performance.now() - 1000 * age;
        this.showAge();
      },
      (state, why) => {
        if (state === "gone") this.clear();
        this.setConnection(state, why);
      },
    );
    this.watch = new ResizeObserver(() => this.measure());
    this.listen();
  }

  listen() {
    const zoom = (factor) => () => this.zoomBy(factor);
    this.get("viewer-zoom-in").addEventListener("click", zoom(1.5));
    this.get("viewer-zoom-out").addEventListener("click", zoom(1 / 1.5));
    this.get("viewer-fit").addEventListener("click", () => this.fit());
  }

  connectedCallback() {
    this.ageing = setInterval(() => this.showAge(), AGE_MS);
    for (const name of ["src", "rate", "staleAfter", "headers", "colours", "tool", "shapes", "vectors", "contrast", "label", ...BOOLEANS]) {
      if (!Object.hasOwn(this, name)) continue; // set before the element was defined
      const value = this[name];
      delete this[name];
      this[name] = value;
    }
    this.watch.observe(this.stage);
    this.measure();
    if (this.src) this.poller.start(this.src);
  }

  disconnectedCallback() {
    this.watch.disconnect();
    this.poller.stop();
    clearInterval(this.ageing);
  }

  attributeChangedCallback(name, before, value) {
    if (before === value) return;
    if (name === "src") this.restart();
    else if (name === "rate") this.poller.rate = Number(value) || 4;
    else if (name === "colours") this.colours = value;
    else if (name === "tool") this.setTool(value);
    else if (name === "label") this.stage.setAttribute("aria-label", `${value ?? "Image"}: + and − zoom, arrows move`);
    else if (name === "hint") this.showHint();
    else if (name === "readonly") this.shapes_.render();
    else if (name === "stale-after") this.showAge();
    else this.later({ paint: true });
  }

  // --- properties ----------------------------------------------------------------------------------------------

  get src() {
    return this.getAttribute("src");
  }

  set src(value) {
    if (value === null || value === undefined) this.removeAttribute("src");
    else this.setAttribute("src", value);
  }

  get rate() {
    return this.poller.rate;
  }

  set rate(value) {
    this.setAttribute("rate", String(value));
  }

  /** Seconds after which an image from `src` is called stale; null: only where its header says so. */
  get staleAfter() {
    return this.hasAttribute("stale-after") ? Number(this.getAttribute("stale-after")) : null;
  }

  set staleAfter(value) {
    if (value === null) this.removeAttribute("stale-after");
    else this.setAttribute("stale-after", String(value));
  }

  get headers() {
    return this.poller.headers;
  }

  set headers(value) {
    this.poller.headers = { ...value };
    this.restart();
  }

  get colours() {
    return this.colours_;
  }

  set colours(value) {
    this.colours_ = NAMES.includes(value) ? value : "grey";
    this.later({ paint: true });
  }

  get tool() {
    return this.draw.kind ?? "pan";
  }

  set tool(value) {
    this.setTool(value);
  }

  get shapes() {
    return this.shapes_.all;
  }

  set shapes(value) {
    this.shapes_.replaceAll(value ?? []);
  }

  get vectors() {
    return this.vectors_.map((vector) => [...vector]);
  }

  set vectors(value) {
    this.vectors_ = makeVectors(value);
    this.drawVectors();
  }

  get contrast() {
    return this.fixed === null ? null : [...this.fixed];
  }

  set contrast(value) {
    this.fixed = value ? [Number(value[0]), Number(value[1])] : null;
    this.later({ paint: true });
  }

  get view() {
    const { scale, x, y } = this.view_;
    return { scale, x, y };
  }

  set view(value) {
    this.view_.set(value);
    this.viewChanged();
  }

  // --- methods -------------------------------------------------------------------------------------------------

  /** Show a frame: its header and its raw codes. */
  setImage(given, pixels) {
    const header = completeHeader(given);
    if (pixels.length !== header.rows * header.columns) throw new RangeError("pixels are rows times columns");
    this.image = { header, pixels };
    this.born = null;
    this.statistics.take(header, pixels);
    if (this.view_.setImage(header.columns, header.rows)) {
      this.style.setProperty("--aspect", `${header.columns} / ${header.rows}`);
      this.viewChanged();
    }
    this.showHeader();
    this.later({ paint: true });
    this.emit("frame", { header });
  }

  clear() {
    this.image = null;
    this.screen.clear();
    this.showHeader();
    this.later({ paint: true });
  }

  fit() {
    this.view_.fit();
    this.viewChanged();
  }

  zoomBy(factor, clientX = null, clientY = null) {
    const { width, height } = this.view_;
    const place = clientX === null ? [width / 2, height / 2] : this.gestures.place({ clientX, clientY });
    if (this.view_.zoomAt(factor, ...place)) this.viewChanged();
  }

  toImage(clientX, clientY) {
    return this.view_.toImage(...this.gestures.place({ clientX, clientY }));
  }

  toClient(x, y) {
    const box = this.stage.getBoundingClientRect();
    const [px, py] = this.view_.toStage(x, y);
    return [px + box.left, py + box.top];
  }

  /** {x, y, code, value, saturated, unit} of the pixel at a point of the image; null outside. Value null: no value. */
  valueAt(x, y) {
    if (!this.image) return null;
    const { header, pixels } = this.image;
    const [column, row] = [Math.round(x), Math.round(y)];
    if (column < 0 || row < 0 || column >= header.columns || row >= header.rows) return null;
    const code = pixels[row * header.columns + column];
    const value = code === header.invalid ? null : code * header.scale + header.offset;
    const saturated = value !== null && header.saturation !== null && code >= header.saturation;
    return { x: column, y: row, code, value, saturated, unit: header.unit };
  }

  select(id) {
    this.shapes_.select(id);
  }

  // --- inside --------------------------------------------------------------------------------------------------

  emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true }));
  }

  restart() {
    if (!this.isConnected) return;
    this.poller.stop();
    this.setConnection(null);
    if (this.src) this.poller.start(this.src);
  }

  setTool(value) {
    const before = this.tool;
    this.draw.setKind(this.readonly ? null : value);
    this.stage.classList.toggle("drawing", this.draw.kind !== null);
    this.showHint();
    if (this.tool !== before) this.emit("tool-changed", { tool: this.tool });
  }

  setContrast(contrast, moving = false) {
    this.contrast = contrast;
    if (!moving) this.emit("contrast-changed", { contrast: this.contrast });
  }

  setConnection(state, why = "") {
    this.connection = state;
    this.labels.connection(state, this.image !== null, why);
    if (state) this.emit("connection", { state });
  }

  /** Do what is to be done once before the next picture on the screen. */
  later({ paint = false, draw = false } = {}) {
    const { todo } = this;
    if (!todo.paint && !todo.draw && todo.events.size === 0) requestAnimationFrame(() => this.work());
    todo.paint ||= paint;
    todo.draw ||= draw || paint;
  }

  soon(name, detail) {
    this.later({ draw: true });
    this.todo.events.set(name, detail);
  }

  work() {
    const { paint, events } = this.todo;
    this.todo = { paint: false, draw: false, events: new Map() };
    if (paint) {
      if (this.image) {
        this.current = this.fixed ?? this.settledContrast();
        this.screen.paint(this.image, { colours: this.colours_, contrast: this.current, marked: this.marks });
      }
      this.updateBar();
      this.showHover();
    }
    this.screen.draw(this.view_);
    for (const [name, detail] of events) this.emit(name, detail);
  }

  /** Automatic contrast, which does not tremble with the noise of a live image. */
  settledContrast() {
    const { header } = this.image;
    const next = automaticContrast(this.statistics, header, this.colours_ === "diverging");
    const key = `${header.unit} ${header.label} ${this.colours_ === "diverging"}`;
    const span = next[1] - next[0];
    const still = this.settled?.key === key && this.settled.ends.every((end, index) => Math.abs(end - next[index]) < 0.02 * span);
    if (!still) this.settled = { key, ends: next };
    return this.settled.ends;
  }

  updateBar() {
    this.bar.update({
      colours: this.colours_,
      contrast: this.image || this.fixed ? this.current : null,
      automatic: this.fixed === null,
      header: this.image?.header ?? null,
      statistics: this.statistics,
      marked: this.marks,
      histogram: this.histogram,
    });
  }

  measure() {
    const { clientWidth, clientHeight } = this.stage;
    if (this.view_.setStage(clientWidth, clientHeight)) this.viewChanged();
    this.later({ paint: true });
  }

  drawVectors() {
    const path = vectorsPath(this.vectors_, (x, y) => this.view_.toStage(x, y));
    for (const arrow of this.arrows) arrow.setAttribute("d", path);
    this.arrows[0].parentNode.dataset.count = String(this.vectors_.length);
  }

  viewChanged() {
    this.drawVectors();
    this.stage.classList.toggle("zoomed", !this.view_.fitted);
    this.shapes_.render();
    this.soon("view-changed", this.view);
  }

  showHeader() {
    const header = this.image?.header ?? null;
    this.labels.header(header);
    if (this.connection === "none" && header) this.setConnection("ok");
  }

  showAge() {
    if (this.staleAfter === null || !this.image || this.born === null) return;
    this.labels.age(this.image.header, (performance.now() - this.born) / 1000, this.staleAfter);
  }

  showHint() {
    this.labels.hint(this.draw.kind ? this.getAttribute("hint") || this.draw.hint : "");
  }

  hover(event) {
    this.pointer = event ? this.toImage(event.clientX, event.clientY) : null;
    this.showHover();
  }

  showHover() {
    const found = this.pointer ? this.valueAt(...this.pointer) : null;
    this.labels.value(found, this.image?.header.scale);
    if (found || this.hovered) this.emit("hover", found);
    this.hovered = found !== null;
  }
}

for (const name of BOOLEANS) {
  Object.defineProperty(So2camViewer.prototype, name, {
    get() {
      return this.hasAttribute(name);
    },
    set(value) {
      this.toggleAttribute(name, Boolean(value));
    },
  });
}

export { KINDS, NAMES as COLOURS };

if (!customElements.get("so2cam-viewer")) customElements.define("so2cam-viewer", So2camViewer);
