// A frame message: 4 bytes little-endian length, so many bytes of JSON, uint16 pixels (little-endian), row by row.

const DEFAULTS = {
  scale: 1,
  offset: 0,
  unit: "",
  label: "",
  time: null,
  invalid: null,
  saturation: null,
  stale: false,
  why: null,
};

/** Return {header, pixels} of a message. Throws a RangeError or SyntaxError where it is none. */
export function decodeFrame(buffer) {
  if (buffer.byteLength < 4) throw new RangeError("a frame message has at least 4 bytes");
  const length = new DataView(buffer).getUint32(0, true);
  const text = new TextDecoder().decode(new Uint8Array(buffer, 4, length));
  const header = completeHeader(JSON.parse(text));
  const start = 4 + length;
  const count = header.rows * header.columns;
  const pixels =
    start % 2 === 0 ? new Uint16Array(buffer, start, count) : new Uint16Array(buffer.slice(start), 0, count);
  return { header, pixels };
}

/** Return the header with its defaults. Throws a RangeError where its size or type is none. */
export function completeHeader(given) {
  const header = { ...DEFAULTS, ...given };
  if (!(header.rows > 0 && header.columns > 0)) throw new RangeError("a frame has rows and columns");
  if ((header.dtype ?? "uint16") !== "uint16") throw new RangeError("pixels of a frame are uint16");
  return header;
}

/** Counts of raw codes, and what follows from them: range, percentiles, saturation. */
export class Statistics {
  constructor() {
    this.counts = new Uint32Array(65536);
    this.total = 0;
  }

  take(header, pixels) {
    const counts = this.counts;
    counts.fill(0);
    for (let index = 0; index < pixels.length; index += 1) counts[pixels[index]] += 1;
    this.total = pixels.length;
    if (header.invalid !== null) {
      this.total -= counts[header.invalid];
      counts[header.invalid] = 0;
    }
  }

  /** The code below which `share` (0 to 1) of the valid pixels lie; 0 where there is none. */
  code(share) {
    const wanted = share * (this.total - 1);
    let seen = 0;
    for (let code = 0; code < 65536; code += 1) {
      seen += this.counts[code];
      if (seen > wanted) return code;
    }
    return 0;
  }

  /** The share of valid pixels at and above a code. */
  shareFrom(code) {
    let seen = 0;
    for (let each = Math.max(Math.ceil(code), 0); each < 65536; each += 1) seen += this.counts[each];
    return this.total ? seen / this.total : 0;
  }

  /** Counts in `bins` equal steps between two codes. */
  histogram(low, high, bins) {
    const result = new Uint32Array(bins);
    const step = (high - low) / bins;
    const [first, last] = [Math.max(Math.ceil(low), 0), Math.min(Math.floor(high), 65535)];
    for (let code = first; code <= last; code += 1) {
      if (this.counts[code]) result[Math.min(Math.floor((code - low) / step), bins - 1)] += this.counts[code];
    }
    return result;
  }
}

/** Values between which 1 % to 99 % of the pixels lie; about zero, as far to both sides. Never empty. */
export function automaticContrast(statistics, header, aboutZero) {
  const ends = [0.01, 0.99].map((share) => statistics.code(share) * header.scale + header.offset);
  let [low, high] = [Math.min(...ends), Math.max(...ends)];
  if (aboutZero) {
    high = Math.max(Math.abs(low), Math.abs(high));
    low = -high;
  }
  const least = Math.abs(header.scale);
  return high - low < least ? [low - least / 2, high + least / 2] : [low, high];
}
