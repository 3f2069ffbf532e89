// What is written over the image: whose it is and when, stale, connection, hints, the value under the pointer, a name to type.

import { formatValue, utc } from "./viewer-format.js";

const OVERLAYS = {
  lost: "Connection lost. Trying again …",
  none: "No image yet",
  gone: "No image",
  refused: "You may not see this image. Sign in again.",
};
const INPUT_PX = [156, 36];

export class Labels {
  constructor(root) {
    const get = (id) => root.querySelector(`[data-testid="${id}"]`);
    this.stage = get("viewer-stage");
    this.caption = get("viewer-caption");
    this.badge = get("viewer-badge");
    this.overlay = get("viewer-overlay");
    this.hintText = get("viewer-hint");
    this.chip = get("viewer-hover");
    this.input = get("viewer-rename");
    this.renamed = null;
    this.input.addEventListener("keydown", (event) => this.key(event));
    this.input.addEventListener("blur", () => this.endRename());
  }

  header(header) {
    const { caption } = this;
    caption.hidden = !header || (!header.label && !header.time);
    caption.firstChild.textContent = header?.label ?? "";
    const time = caption.lastChild;
    time.textContent = header?.time ? utc(header.time) : "";
    time.dateTime = header?.time ?? "";
    caption.title = header?.time ? `Local time ${new Date(header.time).toLocaleString("sv-SE")}` : "";
    this.age(header, null, Infinity);
  }

  /** Say whether an image is stale: because its header says so, or because it is older than `limit` seconds. */
  age(header, seconds, limit) {
    const old = header && seconds > limit;
    const why = header?.why ?? (old ? `taken ${span(seconds)} ago` : "");
    const text = [header?.stale || old ? "Stale" : "", why].filter(Boolean).join(": ");
    if (this.badge.textContent !== text) this.badge.textContent = text;
    this.badge.hidden = !text;
    this.stage.classList.toggle("stale", header?.stale === true || Boolean(old));
  }

  connection(state, hasImage, why = "") {
    const said = why ? `${why[0].toUpperCase()}${why.slice(1)}` : OVERLAYS[state];
    const text = state === "none" && hasImage ? null : said;
    this.overlay.hidden = !text;
    this.overlay.textContent = text ?? "";
    this.overlay.classList.toggle("lost", state === "lost");
    this.stage.classList.toggle("lost", state === "lost" || state === "refused");
  }

  hint(text) {
    this.hintText.hidden = !text;
    this.hintText.textContent = text;
  }

  value(found, step) {
    this.chip.hidden = !found;
    if (!found) return;
    const unit = found.value === null || !found.unit ? "" : ` ${found.unit}`;
    const more = found.saturated ? "  saturated" : "";
    this.chip.textContent = `x ${found.x}  y ${found.y}  ·  ${formatValue(found.value, step)}${unit}${more}`;
  }

  /** Let a name be typed at a place of the stage; `done(name)` with what was typed, unless Escape. */
  rename(name, [x, y], done) {
    const { input, stage } = this;
    this.renamed = done;
    input.value = name;
    input.hidden = false;
    input.style.left = `${Math.min(Math.max(x, 4), Math.max(stage.clientWidth - INPUT_PX[0], 4))}px`;
    input.style.top = `${Math.min(Math.max(y + 8, 4), Math.max(stage.clientHeight - INPUT_PX[1], 4))}px`;
    input.focus();
    input.select();
  }

  key(event) {
    event.stopPropagation();
    if (event.key === "Escape") this.renamed = null;
    if (event.key === "Enter" || event.key === "Escape") this.input.blur();
  }

  endRename() {
    const done = this.renamed;
    this.renamed = null;
    this.input.hidden = true;
    done?.(this.input.value.trim());
  }
}

function span(seconds) {
  if (seconds < 100) return `${Math.floor(seconds)} s`;
  return seconds < 6000 ? `${Math.floor(seconds / 60)} min` : `${Math.floor(seconds / 3600)} h`;
}
