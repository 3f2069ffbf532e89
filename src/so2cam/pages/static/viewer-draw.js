// Drawing new shapes. Lines, rectangles and arcs by one drag (or two clicks), polylines corner by corner, points by a click.

import * as geometry from "./viewer-geometry.js";

const CLICK_PX = 4;
const HINTS = {
  line: "Drag from one end of the line to the other",
  polyline: "Click each corner; double-click or Enter ends, Backspace takes one back",
  arc: "Drag from the centre to the arc",
  rect: "Drag from one corner to the opposite one",
  point: "Click the point",
};

export class Draw {
  /** `host`: view, shapes, toPoint(event), preview(shape | null), created(shape), newShape(kind). */
  constructor(host) {
    this.host = host;
    this.kind = null;
    this.points = [];
    this.pressed = null; // where the stage was pressed, on the screen
    this.last = 0;
  }

  get hint() {
    return HINTS[this.kind] ?? "";
  }

  setKind(kind) {
    this.cancel();
    this.kind = geometry.KINDS.includes(kind) ? kind : null;
  }

  cancel() {
    this.points = [];
    this.pressed = null;
    this.host.preview(null);
  }

  down(event) {
    const point = this.inside(event);
    this.pressed = [event.clientX, event.clientY];
    if (this.kind === "polyline") {
      const closes = this.points.length > 2 && this.near(event, this.points[0]);
      const again = this.points.length > 0 && this.near(event, this.points.at(-1));
      if (closes) this.finish({ closed: true });
      else if (again && performance.now() - this.last < 500) this.finish();
      else if (!again) this.points.push(point);
      this.last = performance.now();
    } else if (this.points.length === 0) {
      this.points = [point];
      if (this.kind === "point") this.finish();
    }
    this.show(point);
  }

  move(event) {
    if (this.points.length) this.show(this.inside(event));
  }

  up(event) {
    if (!this.pressed || this.points.length === 0 || this.kind === "polyline") return;
    const point = this.inside(event);
    const dragged = Math.hypot(event.clientX - this.pressed[0], event.clientY - this.pressed[1]) > CLICK_PX;
    const apart = !this.near(event, this.points[0]);
    this.pressed = null;
    if (dragged || apart) this.complete(point);
  }

  /** A key while a tool is on; says whether it was meant for drawing. */
  key(event) {
    if (!this.kind) return false;
    if (event.key === "Escape") {
      if (this.points.length) this.cancel();
      else this.host.leave();
      return true;
    }
    if (event.key === "Backspace" && this.points.length) {
      this.points.pop();
      this.show(this.points.at(-1));
      return true;
    }
    if (event.key === "Enter") {
      if (this.kind === "polyline" && this.points.length > 1) this.finish();
      else if (this.points.length === 0) this.dropOne();
      return true;
    }
    return false;
  }

  /** Without a pointer: put one of usual size in the middle of what is seen, to be moved by keys. */
  dropOne() {
    const { x, y, width, height, scale, columns, rows } = this.host.view;
    const reach = Math.min(width, height) / scale / 6;
    const inside = (dx, dy) => geometry.roundPoint(geometry.inImage([x + dx, y + dy], columns, rows));
    this.points = this.kind === "point" || this.kind === "arc" ? [inside(0, 0)] : [inside(-reach, -reach)];
    if (this.kind === "point" || this.kind === "polyline") {
      if (this.kind === "polyline") this.points.push(inside(reach, 0), inside(-reach, reach));
      this.finish();
    } else {
      this.complete(inside(reach, this.kind === "arc" ? 0 : reach));
    }
  }

  complete(point) {
    if (this.kind !== "arc") {
      this.points.push(point);
      this.finish();
      return;
    }
    this.finish(this.arc(point));
  }

  arc(point) {
    const [centre] = this.points;
    const middle = geometry.directionOf(centre, point);
    const radius = Math.hypot(point[0] - centre[0], point[1] - centre[1]);
    return {
      radius_px: Math.max(Math.round(radius * 10) / 10, 3),
      from_deg: Math.round(middle - 90),
      to_deg: Math.round(middle - 90) + 180,
    };
  }

  finish(more = {}) {
    if (this.kind === "polyline" && this.points.length < 2) return;
    const shape = { ...this.host.newShape(this.kind), points: this.points, ...more };
    this.cancel();
    this.host.created(geometry.makeShape(shape));
  }

  show(point) {
    if (this.points.length === 0 || this.kind === null) return;
    if (this.kind === "arc") {
      this.host.preview(this.points[0][0] === point[0] && this.points[0][1] === point[1] ? null : this.sketch(point));
    } else {
      this.host.preview({ kind: this.kind === "rect" ? "rect" : "polyline", points: [...this.points, point] });
    }
  }

  sketch(point) {
    return { kind: "arc", points: this.points, ...this.arc(point) };
  }

  inside(event) {
    const { columns, rows } = this.host.view;
    return geometry.roundPoint(geometry.inImage(this.host.toPoint(event), columns, rows));
  }

  near(event, point) {
    const [x, y] = this.host.view.toStage(...point);
    const [px, py] = this.host.toStagePoint(event);
    return Math.hypot(x - px, y - py) <= 2 * CLICK_PX;
  }
}
