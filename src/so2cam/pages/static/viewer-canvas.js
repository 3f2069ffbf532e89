// The pixels on the screen: raw codes through a table of colours, nearest pixel when enlarged; a hatch where there is no value.

import { fillTable } from "./colourmaps.js";

const HATCH = ["#6b6478", "#57505f"];

export class Screen {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.words = new Uint32Array(65536);
    this.key = "";
    this.image = document.createElement("canvas");
    this.imageContext = null;
    this.data = null;
    this.hatch = null;
    this.filled = false;
  }

  /** Colour the pixels of a frame. */
  paint({ header, pixels }, { colours, contrast, marked }) {
    const [low, high] = contrast;
    const { scale, offset, invalid, saturation } = header;
    const key = [colours, low, high, scale, offset, invalid, saturation, marked].join();
    if (key !== this.key) {
      fillTable(this.words, { name: colours, low, high, scale, offset, invalid, saturation, marked });
      this.key = key;
    }
    const { rows, columns } = header;
    if (this.data === null || this.data.width !== columns || this.data.height !== rows) {
      this.image.width = columns;
      this.image.height = rows;
      this.imageContext = this.image.getContext("2d");
      this.data = this.imageContext.createImageData(columns, rows);
    }
    const target = new Uint32Array(this.data.data.buffer);
    const { words } = this;
    for (let index = 0; index < target.length; index += 1) target[index] = words[pixels[index]];
    this.imageContext.putImageData(this.data, 0, 0);
    this.filled = true;
  }

  clear() {
    this.filled = false;
  }

  /** Draw the image as the view wants it, in device pixels. */
  draw(view) {
    const ratio = window.devicePixelRatio || 1;
    const { canvas, context, image } = this;
    const [width, height] = [Math.round(view.width * ratio), Math.round(view.height * ratio)];
    if (canvas.width !== width) canvas.width = width;
    if (canvas.height !== height) canvas.height = height;
    context.clearRect(0, 0, width, height);
    if (!this.filled || !width || !height) return;
    // Only what is seen is drawn, from whole pixel to whole pixel.
    const [left, top] = view.toImage(0, 0);
    const [right, bottom] = view.toImage(view.width, view.height);
    const [x0, y0] = [Math.max(Math.floor(left + 0.5), 0), Math.max(Math.floor(top + 0.5), 0)];
    const [x1, y1] = [Math.min(Math.ceil(right + 0.5), image.width), Math.min(Math.ceil(bottom + 0.5), image.height)];
    if (x1 <= x0 || y1 <= y0) return;
    const [px, py] = view.toStage(x0 - 0.5, y0 - 0.5).map((place) => place * ratio);
    const [qx, qy] = view.toStage(x1 - 0.5, y1 - 0.5).map((place) => place * ratio);
    context.fillStyle = this.pattern(ratio);
    context.fillRect(px, py, qx - px, qy - py);
    context.imageSmoothingEnabled = view.scale * ratio < 1;
    context.drawImage(image, x0, y0, x1 - x0, y1 - y0, px, py, qx - px, qy - py);
  }

  pattern(ratio) {
    const size = Math.max(Math.round(8 * ratio), 4);
    if (this.hatch?.size !== size) {
      const tile = document.createElement("canvas");
      tile.width = size;
      tile.height = size;
      const context = tile.getContext("2d");
      context.fillStyle = HATCH[1];
      context.fillRect(0, 0, size, size);
      context.strokeStyle = HATCH[0];
      context.lineWidth = size / 3;
      for (const by of [-size, 0, size]) {
        context.beginPath();
        context.moveTo(by - 1, size + 1);
        context.lineTo(by + size + 1, -1);
        context.stroke();
      }
      this.hatch = { size, pattern: this.context.createPattern(tile, "repeat") };
    }
    return this.hatch.pattern;
  }
}
