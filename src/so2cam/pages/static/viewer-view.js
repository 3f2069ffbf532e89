// From image pixels to places on the stage and back. Whole numbers are pixel centres: the image covers -0.5 to columns - 0.5.

const LARGEST_SCALE = 64;

export class View {
  constructor() {
    this.columns = 0;
    this.rows = 0;
    this.width = 0;
    this.height = 0;
    this.scale = 1; // stage pixels per image pixel
    this.x = 0; // the image's point in the middle of the stage
    this.y = 0;
    this.fitted = true;
  }

  get fitScale() {
    if (!this.columns || !this.width || !this.height) return 1;
    return Math.min(this.width / this.columns, this.height / this.rows);
  }

  setImage(columns, rows) {
    if (columns === this.columns && rows === this.rows) return false;
    // The same scene in other pixels stays where it is, as far as zoom goes: start afresh only from nothing.
    const factor = this.columns ? columns / this.columns : 1;
    const kept = !this.fitted && Math.abs(rows / this.rows / factor - 1) < 0.02;
    this.columns = columns;
    this.rows = rows;
    if (kept) {
      this.x = (this.x + 0.5) * factor - 0.5;
      this.y = (this.y + 0.5) * factor - 0.5;
      this.scale /= factor;
      this.clamp();
    } else {
      this.fit();
    }
    return true;
  }

  setStage(width, height) {
    if (width === this.width && height === this.height) return false;
    this.width = width;
    this.height = height;
    if (this.fitted) this.fit();
    else this.clamp();
    return true;
  }

  fit() {
    this.fitted = true;
    this.scale = this.fitScale;
    this.x = (this.columns - 1) / 2;
    this.y = (this.rows - 1) / 2;
  }

  /** Zoom by a factor so that the point of the stage (px, py) keeps its image point. Says whether anything changed. */
  zoomAt(factor, px, py) {
    const least = this.fitScale;
    const scale = Math.min(Math.max(this.scale * factor, least), Math.max(LARGEST_SCALE, least));
    if (Math.abs(scale / this.scale - 1) < 1e-9) return false;
    if (scale <= least * 1.0001) {
      this.fit();
      return true;
    }
    const [x, y] = this.toImage(px, py);
    this.scale = scale;
    this.x = x - (px - this.width / 2) / scale;
    this.y = y - (py - this.height / 2) / scale;
    this.fitted = false;
    this.clamp();
    return true;
  }

  /** Move the image by so many stage pixels. Says whether it moved. */
  panBy(dx, dy) {
    const [x, y] = [this.x, this.y];
    this.x -= dx / this.scale;
    this.y -= dy / this.scale;
    this.clamp();
    return x !== this.x || y !== this.y;
  }

  set({ scale, x, y }) {
    this.scale = Math.min(Math.max(scale ?? this.scale, this.fitScale), Math.max(LARGEST_SCALE, this.fitScale));
    this.x = x ?? this.x;
    this.y = y ?? this.y;
    this.fitted = this.scale <= this.fitScale * 1.0001;
    this.clamp();
  }

  clamp() {
    const inside = (centre, count, size) => {
      const half = size / 2 / this.scale;
      if (2 * half >= count) return (count - 1) / 2;
      return Math.min(Math.max(centre, half - 0.5), count - 0.5 - half);
    };
    this.scale = Math.max(this.scale, this.fitScale);
    this.x = inside(this.x, this.columns, this.width);
    this.y = inside(this.y, this.rows, this.height);
  }

  toImage(px, py) {
    return [this.x + (px - this.width / 2) / this.scale, this.y + (py - this.height / 2) / this.scale];
  }

  toStage(x, y) {
    return [(x - this.x) * this.scale + this.width / 2, (y - this.y) * this.scale + this.height / 2];
  }
}
