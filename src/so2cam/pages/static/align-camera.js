// One camera: its live picture with aids, how bright and how sharp it is, and its exposure.

const SATURATED = 0.0005; // share of pixels above which a picture is called too bright
const DIM = 0.25;
const TREND = 90;
const STEP = 1.25;

const HTML = `
<h2><span class="name"></span><small class="device"></small></h2>
<so2cam-viewer compact bare rate="2" stale-after="20" theme="light"></so2cam-viewer>
<div class="body">
  <dl class="figures">
    <div class="saturated"><dt title="Pixels at 98 % of the full scale or more, of the whole picture">Saturated</dt><dd>–</dd></div>
    <div class="bright"><dt title="Mean of the 100 brightest pixels, of the full scale">Brightest, of full</dt><dd>–</dd></div>
  </dl>
  <svg class="counts" viewBox="0 0 64 24" preserveAspectRatio="none" role="img" aria-label="Histogram of the counts"></svg>
  <p class="counts-ends"><span>0</span><span>counts, DN</span><span class="full"></span></p>
  <div class="focus">
    <div class="head"><span title="Brenner's gradient, free of exposure and noise: turn the lens until it is largest">Sharpness</span>
      <button type="button" class="plain">Start anew</button></div>
    <div class="meter" role="meter" aria-label="Sharpness, of the sharpest so far" aria-valuemin="0" aria-valuemax="100"><i></i><b></b></div>
    <svg class="trend" viewBox="0 0 90 20" preserveAspectRatio="none" aria-hidden="true"></svg>
  </div>
  <div class="exposure">
    <div class="row">
      <button type="button" class="less" title="A quarter shorter">−</button>
      <label>Exposure, ms <input type="number" inputmode="decimal" step="any"></label>
      <button type="button" class="more" title="A quarter longer">+</button>
      <button type="button" class="set">Set</button>
    </div>
    <p class="hint"></p>
    <label class="tick"><input type="checkbox" class="automatic"> Automatic exposure</label>
    <p class="said" role="status"></p>
  </div>
</div>`;

export class CameraCard {
  /** `sight`: of the camera; `link`; `act(element, work)`: does `work` and says in the element what became of it. */
  constructor(sight, link, act) {
    this.sight = sight;
    this.link = link;
    this.act = act;
    this.best = null;
    this.trend = [];
    this.aids = new Set();
    this.size = null;
    this.element = document.createElement("article");
    this.element.className = "camera";
    this.element.innerHTML = HTML;
    const find = (selector) => this.element.querySelector(selector);
    const name = sight.device;
    this.viewer = find("so2cam-viewer");
    this.parts = { saturated: find(".saturated"), bright: find(".bright"), counts: find(".counts"), full: find(".full") };
    Object.assign(this.parts, { meter: find(".meter"), trend: find(".trend"), input: find("input[type=number]") });
    Object.assign(this.parts, { automatic: find(".automatic"), said: find(".said"), limits: find(".hint"), device: find(".device") });
    find(".name").textContent = sight.band === "on" ? "On band" : "Off band";
    find(".device").textContent = name;
    this.buttons = [find(".less"), find(".more"), find(".set"), this.parts.automatic, this.parts.input];
    for (const [selector, id] of [
      ["", "card"],
      ["so2cam-viewer", "viewer"],
      [".saturated dd", "saturated"],
      [".bright dd", "bright"],
      [".meter", "sharpness"],
      [".plain", "sharpness-anew"],
      ["input[type=number]", "exposure"],
      [".set", "exposure-set"],
      [".less", "exposure-less"],
      [".more", "exposure-more"],
      [".automatic", "automatic"],
      [".said", "exposure-said"],
      [".hint", "exposure-limits"],
      [".device", "taken-with"],
    ]) {
      (selector ? find(selector) : this.element).dataset.testid = `align-${id}-${name}`;
    }
    this.parts.limits.textContent = `From ${milliseconds(sight.shortest_exposure_s)} to ${milliseconds(sight.longest_exposure_s)} ms`;
    find(".plain").addEventListener("click", () => this.anew());
    find(".set").addEventListener("click", () => this.set());
    find(".less").addEventListener("click", () => this.step(1 / STEP));
    find(".more").addEventListener("click", () => this.step(STEP));
    this.parts.input.addEventListener("keydown", (event) => event.key === "Enter" && this.set());
    this.parts.automatic.addEventListener("change", () => this.setAutomatic());
    this.viewer.addEventListener("frame", (event) => this.show(event.detail.header));
    this.viewer.setAttribute("label", `${find(".name").textContent}, live`);
  }

  start() {
    this.viewer.headers = this.link.headers;
    this.viewer.src = this.link.address(`frame/${this.sight.device}?width=648`);
  }

  stop() {
    this.viewer.src = null;
  }

  allow(may) {
    for (const button of this.buttons) button.disabled = !may;
  }

  // --- the picture ---------------------------------------------------------------------------------------------

  show(header) {
    const { saturated, bright, full } = this.parts;
    const share = header.saturated_fraction;
    const level = header.brightest_dn / header.maximum_dn;
    figure(saturated, percent(share), share > SATURATED ? "bad" : "good");
    figure(bright, percent(level), share > SATURATED || level < DIM ? "bad" : "good");
    full.textContent = String(header.maximum_dn);
    this.parts.device.textContent = `${header.device}, ${milliseconds(header.exposure_s)} ms`;
    if (this.settings?.automatic && document.activeElement !== this.parts.input) {
      this.parts.input.value = milliseconds(header.exposure_s);
    }
    this.drawCounts(header.histogram);
    this.drawSharpness(header.sharpness);
    const size = `${header.columns} ${header.rows}`;
    if (size !== this.size) {
      this.size = size;
      this.factor = [header.columns / this.sight.width_px, header.rows / this.sight.height_px];
      this.drawAids();
    }
  }

  drawCounts(counts) {
    const most = Math.max(...counts, 1);
    const bars = counts.map((count, index) => {
      const height = count ? Math.max(Math.sqrt(count / most) * 23, 0.8) : 0;
      const bar = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      const place = { x: index + 0.06, y: 24 - height, width: 0.88, height };
      for (const [key, value] of Object.entries(place)) bar.setAttribute(key, String(value));
      bar.setAttribute("fill", index >= counts.length - 1 ? "#b00012" : "#000000");
      return bar;
    });
    this.parts.counts.replaceChildren(...bars);
  }

  drawSharpness(sharpness) {
    const { meter } = this.parts;
    const [bar, text] = [meter.firstElementChild, meter.lastElementChild];
    if (sharpness === null || !(sharpness > 0)) {
      bar.style.width = "0";
      text.textContent = "too dark or too even to tell";
      meter.removeAttribute("aria-valuenow");
      return;
    }
    this.best = Math.max(this.best ?? 0, sharpness);
    const part = sharpness / this.best;
    bar.style.width = `${(100 * part).toFixed(1)}%`;
    meter.classList.toggle("best", part > 0.98);
    meter.setAttribute("aria-valuenow", (100 * part).toFixed(0));
    text.textContent = part >= 0.9995 ? "sharpest so far" : `${(100 * part).toFixed(0)} % of the sharpest so far`;
    this.trend = [...this.trend, sharpness].slice(-TREND);
    const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
    const first = TREND - this.trend.length;
    const points = this.trend.map((value, index) => `${first + index},${(19 - (18 * value) / this.best).toFixed(2)}`);
    line.setAttribute("points", points.join(" "));
    line.setAttribute("fill", "none");
    line.setAttribute("stroke", "#000000");
    line.setAttribute("stroke-width", "2");
    line.setAttribute("vector-effect", "non-scaling-stroke");
    this.parts.trend.replaceChildren(line);
  }

  anew() {
    this.best = null;
    this.trend = [];
    this.parts.trend.replaceChildren();
    const header = this.viewer.image?.header;
    if (header) this.drawSharpness(header.sharpness);
  }

  // --- the aids ------------------------------------------------------------------------------------------------

  setAids(aids) {
    this.aids = aids;
    this.drawAids();
  }

  drawAids() {
    this.viewer.marks = this.aids.has("saturated");
    if (!this.factor) return;
    const { sight } = this;
    const place = (x, y) => [(x + 0.5) * this.factor[0] - 0.5, (y + 0.5) * this.factor[1] - 0.5];
    const [right, bottom] = [sight.width_px - 1, sight.height_px - 1];
    const shapes = [];
    if (this.aids.has("cross")) {
      const name = `${sight.azimuth_deg.toFixed(1)}° / ${sight.elevation_deg.toFixed(1)}°`;
      shapes.push({ id: "centre", name, kind: "point", points: [place(right / 2, bottom / 2)], colour: "#ffd23f" });
      shapes.push({ id: "upright", name: "", kind: "line", dashed: true, colour: "#ffd23f",
        points: [place(right / 2, 0), place(right / 2, bottom)] });
    }
    if (this.aids.has("horizon")) {
      const ends = sight.horizon ?? [[0, bottom / 2], [right, bottom / 2]];
      const name = sight.horizon ? "horizon" : "level";
      shapes.push({ id: "horizon", name, kind: "line", dashed: true, points: ends.map((end) => place(...end)) });
    }
    if (this.aids.has("places")) {
      for (const { name, x, y } of sight.places) {
        const seen = x !== null && x >= 0 && x <= right && y >= 0 && y <= bottom;
        if (seen) shapes.push({ id: name, name, kind: "point", points: [place(x, y)], colour: "#ff9ad5" });
      }
    }
    this.viewer.shapes = shapes.map((shape) => ({ ...shape, locked: true }));
  }

  // --- the exposure --------------------------------------------------------------------------------------------

  /** Show how the device is set; what somebody types stays. */
  showSettings(values) {
    if (!values) return;
    this.settings = values;
    const { input, automatic } = this.parts;
    if (document.activeElement !== input && !values.automatic) input.value = milliseconds(values.exposure_s);
    automatic.checked = values.automatic === true;
  }

  step(factor) {
    const { shortest_exposure_s: least, longest_exposure_s: most } = this.sight;
    const now = Number(this.parts.input.value) / 1000 || this.settings?.exposure_s || least;
    this.parts.input.value = milliseconds(Math.min(Math.max(now * factor, least), most));
    this.set();
  }

  set() {
    const wanted = Number(this.parts.input.value) / 1000;
    if (!(wanted > 0)) return;
    this.change({ automatic: false, exposure_s: wanted });
  }

  setAutomatic() {
    this.change({ automatic: this.parts.automatic.checked });
  }

  change(values) {
    const { device } = this.sight;
    void this.act(this.parts.said, async () => {
      const done = await this.link.command({ type: "set", changes: [{ devices: [device], values }] });
      const read = await this.link.get("settings");
      this.parts.input.blur();
      this.showSettings(read.devices[device]);
      const outcome = done.outcomes.find((each) => each.device === device);
      const applied = read.devices[device];
      if (outcome && !outcome.done) throw new Error(outcome.text);
      return applied.automatic ? "Exposure follows the light" : `Applied: ${milliseconds(applied.exposure_s)} ms`;
    });
  }
}

/** Seconds as milliseconds with at most four digits that count. */
export function milliseconds(seconds) {
  return String(Number((seconds * 1000).toPrecision(4)));
}

function percent(share) {
  if (share === null || !Number.isFinite(share)) return "–";
  const value = 100 * share;
  if (value > 0 && value < 0.01) return "< 0.01 %";
  return `${value.toFixed(value >= 10 || value === 0 ? 0 : value >= 1 ? 1 : 2)} %`;
}

function figure(part, text, verdict) {
  part.className = `${part.classList[0]} ${verdict}`;
  part.querySelector("dd").textContent = text;
}
