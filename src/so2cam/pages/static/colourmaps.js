// Colour maps that people with any common colour vision can read: lightness grows evenly (grey, viridis, cividis,
// magma), or falls evenly to both sides of a light middle (diverging, blue against orange).
//
// Each is a short list of anchors, joined by straight lines in sRGB. Viridis and magma are in the public domain (CC0);
// cividis is that of Nunez, Anderton and Renslow (2018).

const ANCHORS = {
  grey: "000000 ffffff",
  viridis:
    "440154 481769 472a7a 433d84 3d4e8a 355e8d 2e6d8e 297b8e 23898e 1f978b 21a585 2eb37c 46c06f 65cb5e 89d548 b0dd2f " +
    "d8e219 fde725",
  cividis:
    "00224e 002d68 163770 2e416d 3f4c6c 4e566c 5c616e 696b71 767676 838179 928c78 a09875 afa471 bfb06b cfbd62 dfca57 " +
    "f0d846 fee838",
  magma:
    "000004 090720 1a1042 311165 4a1079 621980 792282 912b81 aa337d c23b75 d9466b ec5860 f7725c fc8e64 feaa74 fec68a " +
    "fde2a3 fcfdbf",
  diverging: "123a6b 1f5f9f 4a8cc4 86b6dc c1d9ec f4f4f2 f3d3b0 eaa868 d27d2c a9560f 6d3305",
};

// What marks a saturated pixel: a colour that the map itself has nowhere near.
const MARKS = { grey: "ff2fb3", viridis: "ff2fb3", cividis: "ff2fb3", magma: "00e5ff", diverging: "00d12e" };

export const NAMES = Object.freeze(Object.keys(ANCHORS));
export const TITLES = Object.freeze({
  grey: "Grey",
  viridis: "Viridis",
  cividis: "Cividis",
  magma: "Magma",
  diverging: "About zero",
});
export const STEPS = 256;

function parse(text) {
  const number = Number.parseInt(text, 16);
  return [number >> 16, (number >> 8) & 255, number & 255];
}

function build(name) {
  const anchors = ANCHORS[name].split(" ").map(parse);
  const table = new Uint8Array(3 * STEPS);
  for (let step = 0; step < STEPS; step += 1) {
    const place = (step / (STEPS - 1)) * (anchors.length - 1);
    const before = Math.min(Math.floor(place), anchors.length - 2);
    for (let part = 0; part < 3; part += 1) {
      const [a, b] = [anchors[before][part], anchors[before + 1][part]];
      table[3 * step + part] = Math.round(a + (b - a) * (place - before));
    }
  }
  return table;
}

const built = new Map();

/** Return the map of this name as 256 times red, green, blue. An unknown name is grey. */
export function table(name) {
  const known = name in ANCHORS ? name : "grey";
  if (!built.has(known)) built.set(known, build(known));
  return built.get(known);
}

/** Return the colour that marks saturated pixels in this map, as [red, green, blue]. */
export function mark(name) {
  return parse(MARKS[name] ?? MARKS.grey);
}

/**
 * Fill a table of 65536 RGBA pixels (little-endian words) for raw codes between two values.
 * The code of invalid pixels becomes transparent; codes at and above `saturation` get the mark where it is given.
 */
export function fillTable(words, { name, low, high, scale, offset, invalid, saturation, marked }) {
  const colours = table(name);
  const span = high - low || Number.EPSILON;
  for (let code = 0; code < 65536; code += 1) {
    const part = (code * scale + offset - low) / span;
    const step = Math.min(Math.max(Math.floor(part * STEPS), 0), STEPS - 1) * 3;
    words[code] = 0xff000000 | (colours[step + 2] << 16) | (colours[step + 1] << 8) | colours[step];
  }
  if (marked && saturation !== null) {
    const [red, green, blue] = mark(name);
    words.fill((0xff000000 | (blue << 16) | (green << 8) | red) >>> 0, Math.max(Math.ceil(saturation), 0));
  }
  if (invalid !== null) words[invalid] = 0;
}
