// A map of a site without internet: to scale, north up, drawn in metres east and north of the camera.

const NS = "http://www.w3.org/2000/svg";
const EMPTY = { around: [], lines: [] };
const TOLD_MS = 400; // presses of keys with less between them are one move
const ANSWER_MS = 3_000;
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

function svg(name, attributes = {}, text = "") {
  const made = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  return made;
}

function nice(longest) {
  const power = 10 ** Math.floor(Math.log10(longest));
  return [5, 2, 1].map((step) => step * power).find((length) => length <= longest) ?? power;
}

function metres(length) {
  return length >= 1000 ? `${length / 1000} km` : `${length} m`;
}

export default {
  template: "<div class='so-map'></div>",
  props: { scene: Object, label: String, movable: Boolean },
  mounted() {
    this.resize = new ResizeObserver(() => this.draw());
    this.resize.observe(this.$el);
    this.draw();
  },
  beforeUnmount() {
    this.resize?.disconnect();
  },
  watch: {
    scene: { deep: true, handler() { if (!this.held) this.draw(); } },
    movable() { this.draw(); },
  },
  methods: {
    draw() {
      const width = this.$el.clientWidth;
      const height = this.$el.clientHeight;
      if (!width || !height) return;
      const scene = { ...EMPTY, ...this.scene };
      const focused = this.$el.contains(document.activeElement) ? document.activeElement.dataset.testid : null;
      this.told = null;
      this.fitTo(scene.around, width, height);
      const root = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": this.label || "map", "data-metres-per-pixel": 1 / this.scale });
      this.drawGrid(root, width, height);
      this.drawView(root, scene);
      if (scene.plane) this.path(root, scene.plane, "so-map-plane");
      for (const one of scene.lines) {
        if (one.points.length) this.path(root, one.points, "so-map-line").style.stroke = `var(--so-${one.colour})`;
      }
      if (scene.wind) this.drawWind(root, scene);
      if (scene.landmark) this.mark(root, "landmark", scene.landmark, "landmark");
      if (scene.vent) this.mark(root, "vent", scene.vent.place, scene.vent.name, scene);
      this.mark(root, "camera", [0, 0], "camera", scene);
      this.drawBar(root, width, height);
      this.drawNorth(root, width);
      this.$el.replaceChildren(root);
      if (focused) root.querySelector(`[data-testid="${focused}"]`)?.focus();
    },
    fitTo(around, width, height) {
      const east = around.map((place) => place[0]);
      const north = around.map((place) => place[1]);
      const [left, right] = [Math.min(0, ...east), Math.max(0, ...east)];
      const [low, high] = around.length ? [Math.min(...north), Math.max(...north)] : [0, 1000];
      const [first, last] = around.length ? [Math.min(...east), Math.max(...east)] : [left, right];
      const margin = 46;
      this.scale = Math.min((width - 2 * margin) / Math.max(last - first, 20), (height - 2 * margin) / Math.max(high - low, 20));
      this.origin = [width / 2 - (this.scale * (first + last)) / 2, height / 2 + (this.scale * (low + high)) / 2];
    },
    at([east, north]) {
      return [this.origin[0] + this.scale * east, this.origin[1] - this.scale * north];
    },
    path(root, places, kind) {
      const made = svg("polyline", { class: kind, points: places.map((place) => this.at(place).join(",")).join(" ") });
      root.append(made);
      return made;
    },
    drawGrid(root, width, height) {
      const step = nice(90 / this.scale) * this.scale;
      const grid = svg("g", { class: "so-map-grid" });
      for (let x = this.origin[0] % step; x < width; x += step) grid.append(svg("line", { x1: x, x2: x, y1: 0, y2: height }));
      for (let y = this.origin[1] % step; y < height; y += step) grid.append(svg("line", { x1: 0, x2: width, y1: y, y2: y }));
      root.append(grid);
    },
    /** A place so many metres from the camera, in a direction in degrees. */
    towards(degrees, reach) {
      const angle = (degrees * Math.PI) / 180;
      return [reach * Math.sin(angle), reach * Math.cos(angle)];
    },
    drawView(root, scene) {
      if (!scene.view) return;
      const { axis, left, right, sigma, reach } = scene.view;
      const fan = (from, to, kind) => {
        const span = (((to - from) % 360) + 360) % 360;
        const steps = [...Array(17).keys()].map((index) => this.towards(from + (span * index) / 16, reach));
        root.append(svg("polygon", { class: kind, points: [[0, 0], ...steps].map((place) => this.at(place).join(",")).join(" ") }));
      };
      fan(left, right, "so-map-wedge");
      if (sigma > 0.05) fan(axis - sigma, axis + sigma, "so-map-sigma");
      this.path(root, [[0, 0], this.towards(axis, reach)], "so-map-axis");
    },
    drawWind(root, scene) {
      const [x, y] = this.at(scene.vent.place);
      const turn = scene.wind.from + 180;
      const arrow = svg("g", { class: "so-map-wind", transform: `translate(${x} ${y}) rotate(${turn})` });
      arrow.append(svg("path", { d: "M0 -16V-62M-6 -53 0 -63 6 -53" }));
      arrow.append(svg("title", {}, scene.wind.words));
      root.append(arrow);
    },
    mark(root, what, place, name, scene) {
      const [x, y] = this.at(place);
      const group = svg("g", { class: `so-map-mark so-map-${what}`, transform: `translate(${x} ${y})`, "data-testid": `map-${what}` });
      group.append(svg("circle", { class: "reach", r: 22 }));
      if (what === "vent") group.append(svg("path", { d: "M-8 6 0 -8 8 6z" }));
      else if (what === "camera") group.append(svg("rect", { x: -7, y: -5, width: 14, height: 10, rx: 2 }), svg("circle", { class: "lens", r: 2.6 }));
      else group.append(svg("path", { d: "M0 -7 7 0 0 7 -7 0z" }));
      const beside = x > this.$el.clientWidth - 20 - 8 * name.length; // a name is at most about 8 px a letter wide
      group.append(svg("text", { x: beside ? -13 : 13, y: what === "landmark" ? -9 : 5, "text-anchor": beside ? "end" : "start" }, name));
      if (scene && this.movable) this.hold(group, what, place);
      root.append(group);
    },
    hold(group, what, place) {
      group.classList.add("is-movable");
      group.setAttribute("tabindex", "0");
      group.setAttribute("role", "button");
      group.setAttribute("aria-label", `${what}: drag it, or move it by arrow keys`);
      let from = null;
      const moved = (event) => [place[0] + (event.clientX - from[0]) / this.scale, place[1] - (event.clientY - from[1]) / this.scale];
      group.addEventListener("pointerdown", (event) => {
        from = [event.clientX, event.clientY];
        this.held = true;
        group.setPointerCapture(event.pointerId);
        event.preventDefault();
      });
      group.addEventListener("pointermove", (event) => {
        if (from) group.setAttribute("transform", `translate(${this.at(moved(event)).join(" ")})`);
      });
      const end = (event, done) => {
        if (!from) return;
        const to = moved(event);
        const far = Math.hypot(event.clientX - from[0], event.clientY - from[1]) > 3;
        from = null;
        this.held = false;
        if (done && far) this.$emit("moved", { what, east: to[0], north: to[1] });
        else this.draw();
      };
      group.addEventListener("pointerup", (event) => end(event, true));
      group.addEventListener("pointercancel", (event) => end(event, false));
      this.holdByKeys(group, what, place);
    },
    /** Steps are added up while keys are pressed, and told as one move: each one told is a change of the draft. */
    holdByKeys(group, what, place) {
      let to = place;
      let timer = null;
      const tell = () => {
        clearTimeout(timer);
        if (to === place) return;
        const [east, north] = to;
        to = place;
        this.held = false;
        if (east === place[0] && north === place[1]) return;
        this.told = performance.now(); // where it lies then is known with the next scene
        this.$emit("moved", { what, east, north });
      };
      group.addEventListener("keydown", (event) => {
        const by = STEPS[event.key];
        if (!by) return;
        event.preventDefault();
        clearTimeout(timer);
        if (this.told !== null && performance.now() - this.told < ANSWER_MS) return;
        const step = event.shiftKey ? 100 : 10;
        to = [to[0] + step * by[0], to[1] + step * by[1]];
        this.held = true;
        group.setAttribute("transform", `translate(${this.at(to).join(" ")})`);
      });
      group.addEventListener("keyup", () => {
        clearTimeout(timer);
        timer = setTimeout(tell, TOLD_MS);
      });
      group.addEventListener("blur", tell);
    },
    drawBar(root, width, height) {
      const length = nice((0.3 * width) / this.scale);
      const end = 14 + length * this.scale;
      const bar = svg("g", { class: "so-map-bar", "data-testid": "map-bar", "data-metres": length });
      bar.append(svg("path", { d: `M14 ${height - 20}v6H${end}v-6` }), svg("text", { x: 14, y: height - 24 }, metres(length)));
      root.append(bar);
    },
    drawNorth(root, width) {
      const north = svg("g", { class: "so-map-north", transform: `translate(${width - 24} 34)` });
      north.append(svg("path", { d: "M0 -18 6 6 0 2 -6 6z" }), svg("text", { y: 20, "text-anchor": "middle" }, "N"));
      root.append(north);
    },
  },
};
