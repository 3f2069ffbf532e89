// Shapes as plain records, and what can be done with them. Angles of arcs: 0 up, 90 right, clockwise, in degrees.

export const KINDS = Object.freeze(["line", "polyline", "arc", "rect", "point"]);
const POINTS = { line: [2, 2], polyline: [2, 1000], arc: [1, 1], rect: [2, 2], point: [1, 1] };

const round = (number) => Math.round(number * 10) / 10;
export const roundPoint = ([x, y]) => [round(x), round(y)];

/** Return a shape of our own from what was given. Throws a RangeError where it is none. */
export function makeShape(given) {
  const { kind } = given;
  const limits = POINTS[kind];
  if (!limits) throw new RangeError(`a shape is one of ${KINDS.join(", ")}, not ${kind}`);
  const points = given.points.map(([x, y]) => [Number(x), Number(y)]);
  if (points.length < limits[0] || points.length > limits[1] || !points.flat().every(Number.isFinite)) {
    throw new RangeError(`a ${kind} has ${limits[0]} to ${limits[1]} points`);
  }
  const shape = { ...given, id: String(given.id), name: given.name ?? "", points };
  if (kind === "arc") {
    shape.radius_px = Number(given.radius_px);
    shape.from_deg = Number(given.from_deg ?? 0);
    shape.to_deg = Number(given.to_deg ?? 360);
    if (!(shape.radius_px > 0)) throw new RangeError("an arc has a radius_px");
  }
  return kind === "rect" ? { ...shape, points: sorted(points) } : shape;
}

function sorted([[x0, y0], [x1, y1]]) {
  return [
    [Math.min(x0, x1), Math.min(y0, y1)],
    [Math.max(x0, x1), Math.max(y0, y1)],
  ];
}

export function arcPoint(shape, degrees) {
  const [[x, y]] = shape.points;
  const angle = (degrees * Math.PI) / 180;
  return [x + shape.radius_px * Math.sin(angle), y - shape.radius_px * Math.cos(angle)];
}

export function directionOf([cx, cy], [x, y]) {
  return (Math.atan2(x - cx, cy - y) * 180) / Math.PI;
}

/** The points by which a shape is changed. */
export function handlesOf(shape) {
  const { kind, points } = shape;
  if (kind === "point") return [];
  if (kind === "rect") {
    const [[left, top], [right, bottom]] = points;
    return [
      [left, top],
      [right, top],
      [right, bottom],
      [left, bottom],
    ];
  }
  if (kind === "arc") {
    const middle = (shape.from_deg + shape.to_deg) / 2;
    return [points[0], arcPoint(shape, shape.from_deg), arcPoint(shape, shape.to_deg), arcPoint(shape, middle)];
  }
  return points.map((point) => [...point]);
}

export function handleTitle(shape, index) {
  if (shape.kind === "arc") return ["centre", "start", "end", "radius"][index];
  if (shape.kind === "rect") return ["top left", "top right", "bottom right", "bottom left"][index];
  return shape.kind === "line" ? ["start", "end"][index] : `corner ${index + 1}`;
}

/** Return the shape with one handle moved to a point; a drag starts from the shape as it was at its begin. */
export function moveHandle(shape, index, point) {
  const [x, y] = roundPoint(point);
  const points = shape.points.map((each) => [...each]);
  if (shape.kind === "arc") return moveArc(shape, index, [x, y]);
  if (shape.kind === "rect") {
    return { ...shape, points: sorted([handlesOf(shape)[(index + 2) % 4], [x, y]]) };
  }
  points[index] = [x, y];
  return { ...shape, points };
}

function moveArc(shape, index, point) {
  const [centre] = shape.points;
  if (index === 0) return { ...shape, points: [point] };
  if (index === 3) {
    return { ...shape, radius_px: Math.max(round(Math.hypot(point[0] - centre[0], point[1] - centre[1])), 2) };
  }
  const angle = round(directionOf(centre, point));
  const turn = (degrees) => ((degrees % 360) + 360) % 360;
  // The other end stays; the sweep is clockwise, more than 1 and at most 360 degrees.
  if (index === 1) {
    const sweep = turn(shape.to_deg - angle) || 360;
    return settle({ ...shape, from_deg: shape.to_deg - Math.max(sweep, 1) });
  }
  const sweep = turn(angle - shape.from_deg) || 360;
  return settle({ ...shape, to_deg: shape.from_deg + Math.max(sweep, 1) });
}

/** Keep the start of an arc within -180 to 180 degrees. */
function settle(shape) {
  const turns = 360 * Math.floor((shape.from_deg + 180) / 360);
  return { ...shape, from_deg: round(shape.from_deg - turns), to_deg: round(shape.to_deg - turns) };
}

/** Return the shape moved, but with its points no further than the edge of the image. */
export function moveBy(shape, dx, dy, columns, rows) {
  const xs = shape.points.map(([x]) => x);
  const ys = shape.points.map(([, y]) => y);
  const within = (by, values, last) =>
    Math.min(Math.max(by, Math.min(0, -Math.min(...values))), Math.max(0, last - Math.max(...values)));
  const [right, down] = [within(round(dx), xs, columns - 1), within(round(dy), ys, rows - 1)];
  return { ...shape, points: shape.points.map(([x, y]) => roundPoint([x + right, y + down])) };
}

export function inImage([x, y], columns, rows) {
  return [Math.min(Math.max(x, 0), columns - 1), Math.min(Math.max(y, 0), rows - 1)];
}

/** The shape as a path of SVG, its points taken through `place`. */
export function pathOf(shape, place) {
  const say = (point) => place(...point).map((number) => number.toFixed(2)).join(" ");
  const { kind, points } = shape;
  if (kind === "arc") {
    const count = Math.max(Math.ceil((shape.to_deg - shape.from_deg) / 3), 2);
    const step = (shape.to_deg - shape.from_deg) / count;
    const along = Array.from({ length: count + 1 }, (_, index) => arcPoint(shape, shape.from_deg + index * step));
    return `M${along.map(say).join("L")}`;
  }
  if (kind === "rect") {
    const [[left, top], [right, bottom]] = points;
    const corners = [points[0], [right, top], points[1], [left, bottom]];
    return `M${corners.map(say).join("L")}Z`;
  }
  if (kind === "point") {
    const [x, y] = place(...points[0]);
    const [far, near] = [9, 3];
    return (
      `M${x - far} ${y}H${x - near}M${x + near} ${y}H${x + far}` +
      `M${x} ${y - far}V${y - near}M${x} ${y + near}V${y + far}`
    );
  }
  return `M${points.map(say).join("L")}${shape.closed ? "Z" : ""}`;
}

/** Where the arrow of a line starts and which way it points (on the stage); null for shapes without one. */
export function arrowOf(shape, place) {
  const towards = { left: [-1, 0], right: [1, 0], up: [0, -1], down: [0, 1] }[shape.normal];
  const outward = { outward: 1, inward: -1 }[shape.normal];
  if (!towards && !outward) return null;
  const along = shape.kind === "arc" ? [-1, 1].map((by) => arcPoint(shape, (shape.from_deg + shape.to_deg) / 2 + by)) : null;
  const [a, b] = (along ?? middlePiece(shape.points)).map((point) => place(...point));
  const start = [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
  const length = Math.hypot(b[0] - a[0], b[1] - a[1]) || 1;
  let normal = [-(b[1] - a[1]) / length, (b[0] - a[0]) / length];
  const wanted = towards ?? away(shape, place, start).map((part) => part * outward);
  if (normal[0] * wanted[0] + normal[1] * wanted[1] < 0) normal = normal.map((part) => -part);
  return { start, normal };
}

function away(shape, place, start) {
  const points = shape.points.map((point) => place(...point));
  const sum = points.reduce((total, [x, y]) => [total[0] + x, total[1] + y], [0, 0]);
  return [start[0] - sum[0] / points.length, start[1] - sum[1] / points.length];
}

function middlePiece(points) {
  const lengths = points.slice(1).map(([x, y], index) => Math.hypot(x - points[index][0], y - points[index][1]));
  const longest = lengths.indexOf(Math.max(...lengths));
  return [points[longest], points[longest + 1]];
}
