// Arrows over the image, such as the motion of a plume: drawn below the shapes, never touched.

const BARB_PX = 5;

/** Return vectors [[x0, y0, x1, y1], ...] of numbers. Throws a RangeError where they are none. */
export function makeVectors(given) {
  const made = (given ?? []).map((vector) => [...vector].map(Number));
  if (!made.every((vector) => vector.length === 4 && vector.every(Number.isFinite))) {
    throw new RangeError("a vector is x0, y0, x1, y1");
  }
  return made;
}

/** All vectors as one path of SVG, their ends taken through `place`. */
export function vectorsPath(vectors, place) {
  const say = ([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`;
  return vectors
    .map(([x0, y0, x1, y1]) => {
      const [from, to] = [place(x0, y0), place(x1, y1)];
      const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
      const length = Math.hypot(dx, dy);
      if (length < 1) return `M${say(from)}L${say(to)}`;
      const size = Math.min(BARB_PX, 0.4 * length) / length;
      const barb = (side) => say([to[0] - size * (dx + side * 0.6 * dy), to[1] - size * (dy - side * 0.6 * dx)]);
      return `M${say(from)}L${say(to)}M${barb(1)}L${say(to)}L${barb(-1)}`;
    })
    .join("");
}
