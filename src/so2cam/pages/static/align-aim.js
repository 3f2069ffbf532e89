// Where the camera should look, where it looks now by the phone's own compass and level (or by what is typed), and how to turn it.

const NEAR_DEG = 0.5;
const SMOOTH = 0.25;
const SVG = "http://www.w3.org/2000/svg";
const RADIANS = Math.PI / 180;

/** Direction of a phone's back: {azimuth, elevation, roll} in degrees from the angles of a DeviceOrientationEvent. */
export function backOf(alpha, beta, gamma) {
  const [a, b, c] = [alpha, beta, gamma].map((angle) => angle * RADIANS);
  const east = -Math.cos(a) * Math.sin(c) - Math.sin(a) * Math.sin(b) * Math.cos(c);
  const north = -Math.sin(a) * Math.sin(c) + Math.cos(a) * Math.sin(b) * Math.cos(c);
  const up = -Math.cos(b) * Math.cos(c);
  const right = -Math.cos(b) * Math.sin(c); // how far the phone's right side points up
  return {
    azimuth: turn(Math.atan2(east, north) / RADIANS),
    elevation: Math.asin(Math.min(Math.max(up, -1), 1)) / RADIANS,
    roll: Math.atan2(right, Math.sin(b)) / RADIANS,
  };
}

function turn(degrees) {
  return ((degrees % 360) + 360) % 360;
}

/** From one azimuth to another: -180 to 180, right is positive. */
export function difference(from, to) {
  return turn(to - from + 180) - 180;
}

export class Aim {
  constructor(root) {
    const get = (name) => root.querySelector(`[data-testid="align-${name}"]`);
    this.parts = {};
    for (const name of ["wanted", "dial", "turn", "compass", "compass-said", "azimuth", "elevation", "declination"]) {
      this.parts[name] = get(name);
    }
    this.wanted = null;
    this.now = null;
    this.listening = false;
    this.parts.compass.addEventListener("click", () => this.listen());
    for (const name of ["azimuth", "elevation"]) this.parts[name].addEventListener("input", () => this.typed());
    this.parts.declination.addEventListener("input", () => {
      localStorage.setItem("so2cam-declination", this.parts.declination.value);
      this.show();
    });
    this.parts.declination.value = localStorage.getItem("so2cam-declination") ?? "0";
  }

  /** Take what the first camera should see. */
  want(sight) {
    this.wanted = sight ? { azimuth: sight.azimuth_deg, elevation: sight.elevation_deg } : null;
    if (!sight) return;
    const [across, down] = sight.field_of_view_deg.map((angle) => angle.toFixed(1));
    const places = sight.places.map(
      (place) => `${place.name} at ${place.azimuth_deg.toFixed(1)}° / ${signed(place.elevation_deg)}°, ${kilometres(place.distance_m)}`,
    );
    this.parts.wanted.textContent =
      `Wanted: azimuth ${sight.azimuth_deg.toFixed(1)}°, elevation ${signed(sight.elevation_deg)}°; ` +
      `field of view ${across}° × ${down}°. ${places.join("; ")}${places.length ? "." : ""}`;
    this.show();
  }

  /** Listen to the phone; some ask their owner first. */
  async listen() {
    const say = this.parts["compass-said"];
    if (typeof DeviceOrientationEvent === "undefined") {
      say.textContent = "This browser knows no compass. Type what another compass and level show.";
      return;
    }
    if (typeof DeviceOrientationEvent.requestPermission === "function") {
      const answer = await DeviceOrientationEvent.requestPermission().catch(() => "denied");
      if (answer !== "granted") {
        say.textContent = "The phone does not let this page use its compass.";
        return;
      }
    }
    if (this.listening) return;
    this.listening = true;
    const absolute = "ondeviceorientationabsolute" in window;
    window.addEventListener(absolute ? "deviceorientationabsolute" : "deviceorientation", (event) => this.heard(event));
    say.textContent = "Waiting for the compass. Type what another one shows where this phone has none.";
  }

  heard(event) {
    if (event.alpha === null || event.beta === null || event.gamma === null) return;
    const heading = event.webkitCompassHeading;
    const found = backOf(heading === undefined ? event.alpha : 360 - heading, event.beta, event.gamma);
    const before = this.now?.phone ? this.now : null;
    const mix = (was, is) => was + SMOOTH * (is - was);
    this.now = {
      phone: true,
      azimuth: before ? turn(before.azimuth + SMOOTH * difference(before.azimuth, found.azimuth)) : found.azimuth,
      elevation: before ? mix(before.elevation, found.elevation) : found.elevation,
      roll: before ? mix(before.roll, found.roll) : found.roll,
    };
    this.parts["compass-said"].textContent = "By this phone's compass. Iron and electronics near it turn it away: hold it clear of the case.";
    this.show();
  }

  typed() {
    const numbers = ["azimuth", "elevation"].map((name) => Number.parseFloat(this.parts[name].value));
    if (!numbers.every(Number.isFinite)) return;
    this.now = { phone: false, azimuth: turn(numbers[0]), elevation: numbers[1], roll: null };
    this.show();
  }

  show() {
    const { wanted, now } = this;
    if (!wanted) return;
    const declination = Number.parseFloat(this.parts.declination.value) || 0;
    const azimuth = now ? turn(now.azimuth + declination) : null;
    this.draw(azimuth, now?.elevation ?? null);
    const { turn: text } = this.parts;
    if (!now) {
      text.textContent = "";
      return;
    }
    const [right, up] = [difference(azimuth, wanted.azimuth), wanted.elevation - now.elevation];
    const says = [];
    if (Math.abs(right) >= NEAR_DEG) says.push(`${right > 0 ? "→ right" : "← left"} ${Math.abs(right).toFixed(1)}°`);
    if (Math.abs(up) >= NEAR_DEG) says.push(`${up > 0 ? "↑ up" : "↓ down"} ${Math.abs(up).toFixed(1)}°`);
    text.classList.toggle("good", says.length === 0);
    text.textContent = says.length ? says.join(", ") : "On target";
    if (now.roll !== null && Math.abs(now.roll) >= 1) text.textContent += `, tilted ${signed(now.roll)}°`;
  }

  /** A strip of the compass about what is wanted, and a ladder of elevation beside it. */
  draw(azimuth, elevation) {
    const drawing = make("svg", { viewBox: "0 0 560 150", role: "img", "aria-label": "Compass and elevation" });
    const { wanted } = this;
    const perDegree = 440 / 60;
    drawing.append(make("rect", { x: 1, y: 1, width: 440, height: 148, fill: "#fff", stroke: "#000", "stroke-width": 2 }));
    for (let by = -30; by <= 30; by += 1) {
      const degrees = Math.round(wanted.azimuth) + by;
      const x = 221 + difference(wanted.azimuth, degrees) * perDegree;
      if (degrees % 5 || x < 6 || x > 436) continue;
      const long = degrees % 10 === 0;
      drawing.append(make("line", { x1: x, x2: x, y1: 148, y2: long ? 122 : 134, stroke: "#000", "stroke-width": 2 }));
      if (long && x > 20 && x < 422) drawing.append(label(x, 114, compassName(turn(degrees)), "middle"));
    }
    drawing.append(make("path", { d: "M221 76V148", stroke: "#00632b", "stroke-width": 5, fill: "none" }));
    drawing.append(label(221, 70, `${wanted.azimuth.toFixed(1)}°`, "middle", "#00632b"));
    if (azimuth !== null) {
      const by = Math.max(Math.min(difference(wanted.azimuth, azimuth), 29.5), -29.5);
      const x = 221 + by * perDegree;
      drawing.append(make("path", { d: `M${x} 50l-12 -22h24z`, fill: "#b00012", stroke: "#fff", "stroke-width": 2 }));
      drawing.append(label(Math.min(Math.max(x, 40), 402), 21, `now ${azimuth.toFixed(1)}°`, "middle", "#b00012"));
    }
    drawing.append(make("rect", { x: 456, y: 1, width: 103, height: 148, fill: "#fff", stroke: "#000", "stroke-width": 2 }));
    for (let by = -20; by <= 20; by += 5) {
      const degrees = 5 * Math.round(wanted.elevation / 5) + by;
      const y = 75 - (degrees - wanted.elevation) * 3.4;
      if (y < 8 || y > 142) continue;
      drawing.append(make("line", { x1: 457, x2: degrees % 10 ? 467 : 476, y1: y, y2: y, stroke: "#000", "stroke-width": 2 }));
    }
    drawing.append(make("path", { d: "M457 75H486", stroke: "#00632b", "stroke-width": 5 }));
    drawing.append(label(552, 81, `${signed(wanted.elevation)}°`, "end", "#00632b"));
    if (elevation !== null) {
      const y = Math.max(Math.min(75 - (elevation - wanted.elevation) * 3.4, 140), 10);
      drawing.append(make("path", { d: `M459 ${y}l24 -11v22z`, fill: "#b00012", stroke: "#fff", "stroke-width": 2 }));
      drawing.append(label(552, y < 75 ? Math.min(y + 6, 58) : Math.max(y + 6, 106), `${signed(elevation)}°`, "end", "#b00012"));
    }
    this.parts.dial.replaceChildren(drawing);
  }
}

function make(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  return element;
}

function label(x, y, text, anchor, fill = "#000") {
  const element = make("text", { x, y, fill, "text-anchor": anchor, "font-size": 20, "font-weight": 700 });
  element.textContent = text;
  return element;
}

function compassName(degrees) {
  return { 0: "N", 90: "E", 180: "S", 270: "W" }[degrees] ?? `${degrees}°`;
}

function signed(degrees) {
  return degrees.toFixed(1).replace("-", "−");
}

function kilometres(metres) {
  return metres < 1000 ? `${metres.toFixed(0)} m` : `${(metres / 1000).toFixed(1)} km`;
}
