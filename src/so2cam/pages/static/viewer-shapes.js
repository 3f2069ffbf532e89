// The shapes over the image: drawn as SVG, moved by pointer and keys. What a person holds stays in the hand.

import * as geometry from "./viewer-geometry.js";

const SVG = "http://www.w3.org/2000/svg";
const ARROW_PX = 26;
const NAME_PX = 7.5; // a letter of a name, about
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const NOUNS = { line: "Line", polyline: "Polyline", arc: "Arc", rect: "Rectangle", point: "Point" };

export function svg(name, attributes = {}) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

export class Shapes {
  /** `host`: view, layer (an SVG group), readonly, toPoint(event), emit(name, detail), rename(shape, place). */
  constructor(host) {
    this.host = host;
    this.list = [];
    this.nodes = new Map();
    this.selected = null;
    this.held = null; // {shape (as it began), pointer, handle, from, element}
    this.nudged = null;
  }

  get all() {
    return this.list.map((shape) => structuredClone(shape));
  }

  find(id) {
    return this.list.find((shape) => shape.id === id) ?? null;
  }

  replaceAll(given) {
    const made = given.map(geometry.makeShape);
    if (new Set(made.map((shape) => shape.id)).size !== made.length) throw new RangeError("two shapes have one id");
    const held = this.held ? this.find(this.held.shape.id) : null;
    this.list = made.map((shape) => (held && shape.id === held.id ? { ...shape, ...place(held) } : shape));
    if (held && !this.find(held.id)) this.drop();
    if (this.selected && !this.find(this.selected)) this.selected = null;
    this.render();
  }

  put(shape) {
    const index = this.list.findIndex((each) => each.id === shape.id);
    if (index < 0) this.list.push(shape);
    else this.list[index] = shape;
    this.render();
  }

  remove(id) {
    const shape = this.find(id);
    if (!shape || !this.movable(shape)) return;
    this.list = this.list.filter((each) => each.id !== id);
    if (this.selected === id) this.select(null);
    this.render();
    this.host.emit("shape-removed", { shape });
  }

  movable(shape) {
    return !shape.locked && !this.host.readonly;
  }

  select(id) {
    if (this.selected === id) return;
    this.selected = id;
    this.render();
    this.host.emit("shape-selected", { id });
  }

  // --- drawing -------------------------------------------------------------------------------------------------

  render() {
    const seen = new Set();
    for (const shape of this.list) {
      seen.add(shape.id);
      let node = this.nodes.get(shape.id);
      if (!node || node.kind !== shape.kind) {
        node?.group.remove();
        node = this.build(shape);
        this.nodes.set(shape.id, node);
        this.host.layer.append(node.group);
      }
      this.place(shape, node);
    }
    for (const [id, node] of this.nodes) {
      if (seen.has(id)) continue;
      node.group.remove();
      this.nodes.delete(id);
    }
    this.makeRoom();
  }

  /** Spare shapes are left out where their names would lie over another's: on a phone there is room for few. */
  makeRoom() {
    const taken = [];
    for (const spare of [false, true]) {
      for (const shape of this.list.filter((each) => (each.spare === true) === spare)) {
        const { group, room } = this.nodes.get(shape.id);
        const crowded = spare && taken.some((other) => meet(room, other));
        group.classList.toggle("crowded", crowded);
        if (shape.name && !crowded) taken.push(room);
      }
    }
  }

  build(shape) {
    const group = svg("g", { class: "shape", "data-testid": `shape-${shape.id}`, tabindex: "0", role: "group" });
    const title = svg("title");
    const parts = {};
    for (const part of ["halo", "ink", "hit"]) parts[part] = svg("path", { class: part });
    const arrow = svg("path", { class: "arrow" });
    const name = svg("text", { class: "name", "data-testid": `shape-${shape.id}-name` });
    const handles = svg("g", { class: "handles" });
    group.append(title, parts.halo, arrow, parts.ink, parts.hit, name, handles);
    group.addEventListener("pointerdown", (event) => this.grab(event, shape.id, null));
    // A finger that holds a shape does not scroll the page (touch-action has no effect inside SVG).
    group.addEventListener("touchmove", (event) => this.held && event.preventDefault(), { passive: false });
    group.addEventListener("dblclick", (event) => this.askName(event, shape.id));
    group.addEventListener("keydown", (event) => this.key(event, shape.id));
    group.addEventListener("keyup", () => this.settleNudge());
    group.addEventListener("focusin", () => this.select(shape.id));
    group.addEventListener("focusout", () => this.settleNudge());
    return { kind: shape.kind, group, title, ...parts, arrow, name, handles, dots: [] };
  }

  place(shape, node) {
    const { view } = this.host;
    const movable = this.movable(shape);
    const to = (x, y) => view.toStage(x, y);
    const path = geometry.pathOf(shape, to);
    for (const part of ["halo", "ink", "hit"]) node[part].setAttribute("d", path);
    node.group.classList.toggle("selected", this.selected === shape.id);
    node.group.classList.toggle("fixed", !movable);
    node.group.classList.toggle("dashed", shape.dashed === true);
    node.group.style.setProperty("--colour", shape.colour ?? "");
    const said = `${NOUNS[shape.kind]}${shape.name ? ` ${shape.name}` : ""}`;
    node.group.setAttribute("aria-label", movable ? `${said}, arrow keys move it` : said);
    node.title.textContent = movable
      ? `${said}: drag, or arrow keys (Shift: 10 px); double-click to rename, Delete to remove`
      : said;
    this.placeArrow(shape, node, to);
    const [x, y] = to(...(shape.kind === "arc" ? geometry.handlesOf(shape)[3] : shape.points[0]));
    const low = y < 24;
    const left = x > view.width - 80;
    node.name.textContent = shape.name;
    const wide = NAME_PX * shape.name.length + 10;
    node.room = [left ? x - wide : x, y + (low ? 4 : -24), left ? x : x + wide, y + (low ? 24 : -4)];
    node.name.setAttribute("x", (x + (left ? -10 : 10)).toFixed(1));
    node.name.setAttribute("y", (y + (low ? 20 : -10)).toFixed(1));
    node.name.setAttribute("text-anchor", left ? "end" : "start");
    this.placeHandles(shape, node, movable ? geometry.handlesOf(shape) : [], to);
  }

  placeArrow(shape, node, to) {
    const arrow = geometry.arrowOf(shape, to);
    if (!arrow) {
      node.arrow.removeAttribute("d");
      return;
    }
    const [x, y] = arrow.start;
    const [nx, ny] = arrow.normal;
    const [tx, ty] = [x + ARROW_PX * nx, y + ARROW_PX * ny];
    const barb = (side) => `L${tx - 8 * nx - side * 5 * ny} ${ty - 8 * ny + side * 5 * nx}`;
    node.arrow.setAttribute("d", `M${x} ${y}L${tx} ${ty}M${tx} ${ty}${barb(1)}M${tx} ${ty}${barb(-1)}`);
  }

  placeHandles(shape, node, points, to) {
    while (node.dots.length > points.length) node.dots.pop().remove();
    while (node.dots.length < points.length) node.dots.push(this.buildHandle(shape.id, node.dots.length, node.handles));
    points.forEach((point, index) => {
      const [x, y] = to(...point);
      const dot = node.dots[index];
      const title = geometry.handleTitle(shape, index);
      dot.setAttribute("transform", `translate(${x.toFixed(2)} ${y.toFixed(2)})`);
      dot.setAttribute("aria-label", `${title} of ${shape.name || shape.kind}`);
      dot.setAttribute("tabindex", this.selected === shape.id ? "0" : "-1");
      dot.firstChild.textContent = title;
    });
  }

  buildHandle(id, index, parent) {
    const dot = svg("g", { class: "handle", "data-testid": `shape-${id}-handle-${index}`, role: "button" });
    dot.append(svg("title"), svg("circle", { class: "reach", r: 13 }), svg("circle", { class: "dot", r: 5.5 }));
    dot.addEventListener("pointerdown", (event) => this.grab(event, id, index));
    dot.addEventListener("keydown", (event) => this.key(event, id, index));
    parent.append(dot);
    return dot;
  }

  // --- the pointer ---------------------------------------------------------------------------------------------

  grab(event, id, handle) {
    if (event.button !== 0 || this.host.drawing || this.held) return;
    const shape = this.find(id);
    event.stopPropagation();
    this.select(id);
    const element = event.currentTarget;
    element.focus({ preventScroll: true });
    if (!this.movable(shape)) return;
    event.preventDefault();
    element.setPointerCapture(event.pointerId);
    const from = this.host.toPoint(event);
    this.held = { shape: structuredClone(shape), handle, from, element, pointer: event.pointerId, moved: false };
    // The handle may be grabbed beside its middle: it keeps that distance and does not jump.
    const at = handle === null ? from : geometry.handlesOf(shape)[handle];
    this.held.apart = [at[0] - from[0], at[1] - from[1]];
    const move = (each) => each.pointerId === event.pointerId && this.drag(each);
    const end = (each) => {
      if (each.pointerId !== event.pointerId) return;
      element.removeEventListener("pointermove", move);
      for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) element.removeEventListener(name, end);
      this.release(each.type !== "pointercancel");
    };
    element.addEventListener("pointermove", move);
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) element.addEventListener(name, end);
  }

  drag(event) {
    if (!this.held) return;
    const { shape, handle, from, apart } = this.held;
    const now = this.host.toPoint(event);
    const { columns, rows } = this.host.view;
    const moved =
      handle === null
        ? geometry.moveBy(shape, now[0] - from[0], now[1] - from[1], columns, rows)
        : geometry.moveHandle(
            shape,
            handle,
            geometry.inImage([now[0] + apart[0], now[1] + apart[1]], columns, rows),
          );
    const current = this.find(shape.id);
    if (!current) return;
    this.held.moved = true;
    this.put({ ...current, ...place(moved) });
    this.host.soon("shape-moving", { shape: this.find(shape.id) });
  }

  release(kept) {
    const held = this.held;
    if (!held) return;
    this.held = null;
    const now = this.find(held.shape.id);
    if (!now) return;
    if (!kept) this.put({ ...now, ...place(held.shape) });
    else if (held.moved && differ(now, held.shape)) {
      this.host.emit("shape-changed", { shape: structuredClone(now), why: held.handle === null ? "move" : "handle" });
    }
  }

  /** Let go of what is held, as it was. */
  drop() {
    if (this.held) this.release(false);
    this.held = null;
  }

  // --- the keys ------------------------------------------------------------------------------------------------

  key(event, id, handle = null) {
    if (event.defaultPrevented) return;
    const shape = this.find(id);
    if (!shape) return;
    const step = STEPS[event.key];
    if (event.key === "Escape") {
      if (this.held) this.drop();
      else this.nodes.get(id).group.blur();
      this.select(null);
    } else if (!this.movable(shape)) {
      return;
    } else if (step) {
      this.nudge(shape, handle, step.map((each) => each * (event.shiftKey ? 10 : 1)));
    } else if (event.key === "Delete" || event.key === "Backspace") {
      this.removeBy(shape, handle);
    } else if (event.key === "F2" || event.key === "Enter") {
      this.host.rename(shape);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  nudge(shape, handle, [dx, dy]) {
    const { columns, rows } = this.host.view;
    this.nudged ??= shape.id;
    if (handle === null) {
      this.put(geometry.moveBy(shape, dx, dy, columns, rows));
    } else {
      const [x, y] = geometry.handlesOf(shape)[handle];
      this.put(geometry.moveHandle(shape, handle, geometry.inImage([x + dx, y + dy], columns, rows)));
    }
    this.host.soon("shape-moving", { shape: this.find(shape.id) });
  }

  /** Keys held down move the shape many times; it is said once, when they are let go. */
  settleNudge() {
    const shape = this.nudged === null ? null : this.find(this.nudged);
    this.nudged = null;
    if (shape) this.host.emit("shape-changed", { shape: structuredClone(shape), why: "nudge" });
  }

  /** Delete takes a corner out of a polyline that has more than two, else the whole shape. */
  removeBy(shape, handle) {
    if (handle === null || shape.kind !== "polyline" || shape.points.length < 3) {
      this.remove(shape.id);
      return;
    }
    const points = shape.points.filter((_, index) => index !== handle);
    this.put({ ...shape, points });
    this.host.emit("shape-changed", { shape: structuredClone(this.find(shape.id)), why: "handle" });
  }

  askName(event, id) {
    const shape = this.find(id);
    if (this.host.drawing || !shape || !this.movable(shape)) return;
    event.stopPropagation();
    event.preventDefault();
    this.host.rename(shape);
  }

  setName(id, name) {
    const shape = this.find(id);
    if (!shape || name === shape.name || name === "") return;
    this.put({ ...shape, name });
    this.host.emit("shape-changed", { shape: structuredClone(this.find(id)), why: "rename" });
  }
}

/** Whether two boxes (left, top, right, bottom) have a part in common. */
function meet(a, b) {
  return a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];
}

function place({ points, radius_px, from_deg, to_deg }) {
  return radius_px === undefined ? { points } : { points, radius_px, from_deg, to_deg };
}

function differ(a, b) {
  return JSON.stringify(place(a)) !== JSON.stringify(place(b));
}
