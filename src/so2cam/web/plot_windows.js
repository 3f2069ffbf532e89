// Windows, a mark and clicks laid over a plot: edges are dragged with the mouse or a finger, or moved with the keys.
const QUIET_MS = 350; // of the keys, before what they did counts as let go

export default {
  template: "<div class='so-windows'></div>",
  props: { bands: Array, mark: Number, picks: String, step: Number, digits: Number, unit: String, revision: Number },
  mounted() {
    this.held = null;
    this.lanes = {};
    this.parts = new Map();
    this.drawn = () => this.connect();
    this.$el.parentElement.addEventListener("so2cam-drawn", this.drawn);
    this.box = this.$el.parentElement;
    this.connect();
  },
  beforeUnmount() {
    clearTimeout(this.quiet);
    this.box?.removeEventListener("so2cam-drawn", this.drawn);
  },
  watch: {
    revision() { if (!this.held) this.draw(); },
    mark() { this.draw(); },
  },
  methods: {
    connect() {
      const chart = this.box.querySelector(".so-plot")?.so2camChart;
      if (!chart || chart.isDisposed()) return;
      if (chart !== this.chart) {
        this.chart = chart;
        if (this.picks) chart.getZr().on("click", (event) => this.pick(event.offsetX, event.offsetY));
      }
      this.draw();
    },
    place() {
      const grid = this.chart?.getModel()?.getComponent("grid")?.coordinateSystem?.getRect();
      return grid && grid.width > 0 ? grid : null;
    },
    pixel(x) { return this.chart.convertToPixel({ xAxisIndex: 0 }, x); },
    value(px) { return this.chart.convertFromPixel({ xAxisIndex: 0 }, px); },
    pick(px, py) {
      const grid = this.place();
      if (!grid || px < grid.x || px > grid.x + grid.width || py < grid.y || py > grid.y + grid.height) return;
      this.$emit("picked", { x: this.value(px) });
    },
    draw() {
      const grid = this.place();
      if (!grid) return;
      const bands = this.now();
      if (!this.held) this.lanes = lanes(bands);
      const seen = new Set();
      const put = (key, classes, place, make) => {
        let made = this.parts.get(key);
        if (!made) {
          made = document.createElement(classes.startsWith("so-edge") ? "button" : "div");
          this.parts.set(key, made);
          this.$el.append(made);
          make?.(made);
        }
        made.className = classes;
        for (const [name, value] of Object.entries(place)) made.style.setProperty(name, typeof value === "number" ? `${value}px` : value);
        seen.add(key);
        return made;
      };
      const right = grid.x + grid.width;
      const inside = (at) => at >= grid.x - 1 && at <= right + 1;
      if (typeof this.mark === "number" && inside(this.pixel(this.mark))) put("mark", "so-mark", { left: this.pixel(this.mark), top: grid.y, height: grid.height });
      for (const band of bands) {
        const from = Math.max(grid.x, this.pixel(band.low)), to = Math.min(right, this.pixel(band.high));
        if (!(to > from)) continue;
        const place = { left: from, width: to - from, "--colour": `var(--so-${band.colour || "data-1"})` };
        put(`${band.id}-shade`, "so-band", { ...place, top: grid.y, height: grid.height });
        const top = grid.y + 2 + this.lanes[band.id] * 26;
        const name = put(`${band.id}-name`, `so-band-name${band.movable ? " is-movable" : ""}${to - from < 8 * band.name.length + 26 ? " is-narrow" : ""}`, { ...place, top }, (made) => made.addEventListener("pointerdown", (event) => this.take(event, band.id, "both")));
        name.dataset.name = band.name;
        name.title = `${band.name}: ${this.words(band.low)} to ${this.words(band.high)}`;
        Object.assign(name.dataset, { testid: `window-${band.id}`, low: band.low.toFixed(this.digits), high: band.high.toFixed(this.digits) });
        for (const edge of band.movable ? ["low", "high"] : []) {
          const at = this.pixel(band[edge]);
          if (!inside(at)) continue;
          const drop = grid.y + grid.height - top;
          const grip = put(`${band.id}-${edge}`, `so-edge is-${edge}`, { left: at, top, "--drop": drop, "--colour": place["--colour"] }, (made) => this.wire(made, band.id, edge));
          const [low, high] = edge === "low" ? [band.least, band.high - 1] : [band.low + 1, band.most];
          const words = { "aria-label": `${band.name}, ${edge === "low" ? "from" : "to"}`, "aria-valuemin": low, "aria-valuemax": high, "aria-valuenow": band[edge], "aria-valuetext": this.words(band[edge]) };
          for (const [key, value] of Object.entries(words)) grip.setAttribute(key, value);
        }
      }
      if (this.picks) put("picker", "so-picker", { left: grid.x, top: grid.y + grid.height - 4, width: grid.width }, (made) => this.wirePicker(made)).setAttribute("aria-valuenow", String(this.mark ?? 0));
      for (const [key, made] of this.parts) {
        if (seen.has(key)) continue;
        made.remove();
        this.parts.delete(key);
      }
    },
    now() { return (this.bands || []).map((band) => (this.held?.id === band.id ? { ...band, ...this.held } : band)); },
    wire(grip, id, edge) {
      grip.type = "button";
      grip.dataset.testid = `window-${id}-${edge}`;
      grip.setAttribute("role", "slider");
      grip.addEventListener("pointerdown", (event) => this.take(event, id, edge));
      grip.addEventListener("keydown", (event) => {
        const by = { ArrowLeft: -2, ArrowDown: -2, ArrowRight: 2, ArrowUp: 2, PageDown: -20, PageUp: 20 }[event.key];
        const band = this.now().find((one) => one.id === id);
        if (!by || !band) return;
        event.preventDefault();
        event.stopPropagation();
        if (this.held?.id !== id) this.held = { id, low: band.low, high: band.high };
        this.move(band, edge, this.held[edge] + by * this.step * (event.shiftKey ? 10 : 1), band);
        clearTimeout(this.quiet);
        this.quiet = setTimeout(() => this.letGo(), QUIET_MS);
      });
    },
    wirePicker(box) {
      box.tabIndex = 0;
      box.dataset.testid = "picker";
      box.setAttribute("role", "slider");
      box.setAttribute("aria-label", this.picks);
      box.addEventListener("keydown", (event) => {
        const by = { ArrowLeft: -1, ArrowRight: 1, End: 0 }[event.key];
        if (by === undefined) return;
        event.preventDefault();
        event.stopPropagation();
        this.$emit("stepped", { by });
      });
    },
    words(value) { return `${value.toFixed(this.digits)} ${this.unit}`; },
    take(event, id, edge) {
      const band = this.now().find((one) => one.id === id);
      if (event.button > 0 || !band?.movable) return;
      event.preventDefault();
      clearTimeout(this.quiet);
      const made = event.currentTarget, began = event.clientX, from = { low: band.low, high: band.high };
      this.held = { id, ...from };
      made.setPointerCapture(event.pointerId);
      if (edge !== "both") made.focus({ preventScroll: true });
      const grid = this.place(), scale = (this.value(grid.x + grid.width) - this.value(grid.x)) / grid.width;
      const moved = (now) => this.move(band, edge, (edge === "high" ? from.high : from.low) + (now.clientX - began) * scale, from);
      const done = (now) => {
        made.removeEventListener("pointermove", moved);
        made.removeEventListener("pointerup", done);
        made.removeEventListener("pointercancel", done);
        if (now.type === "pointerup") {
          this.letGo();
          return;
        }
        this.held = null;
        this.draw();
      };
      made.addEventListener("pointermove", moved);
      made.addEventListener("pointerup", done);
      made.addEventListener("pointercancel", done);
    },
    move(band, edge, to, from) {
      const tidy = (value) => Number((Math.round(value / this.step) * this.step).toFixed(this.digits));
      const within = (value, low, high) => Math.min(Math.max(value, low), high);
      if (edge === "low") this.held.low = tidy(within(to, band.least, this.held.high - 1));
      else if (edge === "high") this.held.high = tidy(within(to, this.held.low + 1, band.most));
      else {
        const width = from.high - from.low, low = tidy(within(to, band.least, band.most - width));
        Object.assign(this.held, { low, high: tidy(low + width) });
      }
      this.draw();
    },
    letGo() {
      const held = this.held;
      this.held = null;
      if (!held) return;
      const band = (this.bands || []).find((one) => one.id === held.id);
      if (!band || (band.low === held.low && band.high === held.high)) {
        this.draw();
        return;
      }
      Object.assign(band, { low: held.low, high: held.high }); // until the station has answered
      this.draw();
      this.$emit("moved", { ...held });
    },
  },
};

// Windows that lie over each other have their edges one below the other.
function lanes(bands) {
  const found = {}, ends = [];
  for (const band of [...bands].sort((a, b) => a.low - b.low)) {
    let lane = ends.findIndex((end) => band.low > end + 0.8);
    if (lane < 0) lane = ends.length;
    ends[lane] = band.high;
    found[band.id] = lane;
  }
  return found;
}
