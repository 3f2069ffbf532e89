// Wheel, drag, pinch and keys on the stage: zoom and pan, or what a drawing tool makes of them.

const WHEEL = 0.0016;
const PAN_PX = 40;
const CLICK_PX = 4;

export class Gestures {
  /** `host`: stage, view, draw, viewChanged(), hover(event | null), click(event). */
  constructor(host) {
    this.host = host;
    this.pointers = new Map();
    this.start = null;
    const { stage } = host;
    stage.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    stage.addEventListener("pointerdown", (event) => this.down(event));
    stage.addEventListener("pointermove", (event) => this.move(event));
    stage.addEventListener("pointerup", (event) => this.up(event));
    stage.addEventListener("pointercancel", (event) => this.up(event, true));
    stage.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && host.hover(null));
    stage.addEventListener("keydown", (event) => this.key(event));
  }

  place(event) {
    const box = this.host.stage.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  wheel(event) {
    const unit = [1, 16, 200][event.deltaMode];
    const factor = Math.exp(-event.deltaY * unit * WHEEL * (event.ctrlKey ? 4 : 1));
    // Where there is nothing left to zoom out of, the page scrolls.
    if (!this.host.view.zoomAt(factor, ...this.place(event))) return;
    event.preventDefault();
    this.host.viewChanged();
    this.host.hover(event);
  }

  down(event) {
    if (event.button !== 0 || event.target.closest?.(".free")) return;
    const { stage, draw } = this.host;
    stage.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, this.place(event));
    if (this.pointers.size === 2) {
      draw.cancel();
      this.start = this.pinchNow();
    } else if (draw.kind) {
      draw.down(event);
    } else {
      this.start = { at: this.place(event), far: false };
    }
  }

  move(event) {
    const { view, draw } = this.host;
    const before = this.pointers.get(event.pointerId);
    this.host.hover(event);
    if (!before) {
      if (draw.kind) draw.move(event);
      return;
    }
    const now = this.place(event);
    this.pointers.set(event.pointerId, now);
    if (this.pointers.size === 2) {
      this.pinch();
    } else if (draw.kind) {
      draw.move(event);
    } else if (this.start?.at) {
      const [dx, dy] = [now[0] - this.start.at[0], now[1] - this.start.at[1]];
      this.start.far ||= Math.hypot(dx, dy) > CLICK_PX;
      if (this.start.far && view.panBy(now[0] - before[0], now[1] - before[1])) this.host.viewChanged();
    }
  }

  up(event, cancelled = false) {
    if (!this.pointers.delete(event.pointerId)) return;
    const { draw } = this.host;
    if (draw.kind) {
      if (cancelled) draw.cancel();
      else if (this.pointers.size === 0 && !this.start?.apart) draw.up(event);
    } else if (!cancelled && this.start?.at && !this.start.far) {
      this.host.click(event);
    }
    if (this.pointers.size === 0) this.start = null;
    else if (this.pointers.size === 1) this.start = { at: [...this.pointers.values()][0], far: true, apart: this.start?.apart };
  }

  pinchNow() {
    const [a, b] = [...this.pointers.values()];
    return { middle: [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2], apart: Math.hypot(a[0] - b[0], a[1] - b[1]) };
  }

  pinch() {
    const { view } = this.host;
    const now = this.pinchNow();
    const before = this.start?.middle ? this.start : now;
    const zoomed = view.zoomAt(now.apart / Math.max(before.apart, 1), ...before.middle);
    const panned = view.panBy(now.middle[0] - before.middle[0], now.middle[1] - before.middle[1]);
    if (zoomed || panned) this.host.viewChanged();
    this.start = now;
  }

  key(event) {
    const { view, draw, stage } = this.host;
    if (event.defaultPrevented || event.target !== stage || event.ctrlKey || event.metaKey || event.altKey) return;
    if (draw.key(event)) {
      event.preventDefault();
      return;
    }
    const middle = [view.width / 2, view.height / 2];
    const [dx, dy] = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key] ?? [0, 0];
    let done = true;
    if (event.key === "+" || event.key === "=") view.zoomAt(1.5, ...middle);
    else if (event.key === "-") view.zoomAt(1 / 1.5, ...middle);
    else if (event.key === "0") view.fit();
    else if (dx || dy) done = view.panBy(dx * PAN_PX, dy * PAN_PX);
    else done = false;
    if (!done) return;
    event.preventDefault();
    this.host.viewChanged();
  }
}
