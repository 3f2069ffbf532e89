// A film of archived pairs: the image, the values of the pair, and the emission rate below, to scrub in.
// Images are asked for ahead of time, a few at a time, so that the film goes on smoothly.

const AHEAD = 4; // images asked for ahead while it plays
const KEPT = 60; // images kept in memory
const SPEEDS = [1, 2, 5, 10, 20];
const QUANTITIES = [["column", "Column"], ["absorbance", "Absorbance"], ["on", "On band"], ["off", "Off band"]];
const MINUS = "\u2212";
const base = () => window.path_prefix || "";
const loaded = Promise.all(["viewer.js", "viewer-frame.js"].map((name) => import(`${base()}/static/so2cam/${name}`)));

const figures = (value, sigma) => window.so2cam.figures(value, sigma);
const css = (name) => getComputedStyle(document.body).getPropertyValue(name).trim();
const pad = (n) => String(n).padStart(2, "0");

function moment(us) {
  const d = new Date(us / 1000);
  return `${d.getUTCFullYear()}-${pad(d.getUTCMonth() + 1)}-${pad(d.getUTCDate())} ${clock(us)}`;
}

function clock(us) {
  const d = new Date(us / 1000);
  return `${pad(d.getUTCHours())}:${pad(d.getUTCMinutes())}:${pad(d.getUTCSeconds())}`;
}

function together(film, i) {
  const [a, b] = [film.random[i], film.systematic[i]];
  return a === null && b === null ? null : Math.hypot(a ?? 0, b ?? 0);
}

export default {
  template: `
    <div class="so-film" ref="film" data-state="empty">
      <div class="so-film-top">
        <div class="so-film-screen">
          <div class="so-choice" role="group" aria-label="Image">
            <button v-for="[key, words] in quantities" :key="key" type="button" :data-testid="'film-' + key"
              :aria-pressed="quantity === key" @click="choose(key)">{{ words }}</button>
          </div>
          <div class="so-film-stage">
            <div ref="screen" class="so-film-image" :class="{ 'is-waiting': waiting }"></div>
            <button v-if="fresh && place && !playing" type="button" class="so-film-start" title="Play (space)" aria-label="Play the film" data-testid="film-start" @click="toggle()">▶</button>
          </div>
          <div class="so-film-why" role="status" data-testid="film-why">{{ why }}</div>
        </div>
        <div class="so-film-facts" aria-live="off">
          <div class="so-film-rate"><b data-testid="film-rate">{{ fact.rate }}</b> <small>kg/s</small></div>
          <div class="so-quiet so-small">{{ fact.what }}</div>
          <dl>
            <dt>Time</dt><dd data-testid="film-time">{{ fact.time }}</dd>
            <dt>Speed</dt><dd data-testid="film-speed">{{ fact.speed }}</dd>
            <dt>Direction</dt><dd>{{ fact.direction }}</dd>
            <dt>Column amount</dt><dd>{{ fact.amount }}</dd>
            <dt>Status</dt><dd data-testid="film-status" :class="{ 'so-warn': fact.bad }">{{ fact.status }}</dd>
            <dt>Flags</dt><dd data-testid="film-flags"><span v-if="!fact.flags.length">none</span><ul v-else><li v-for="text in fact.flags" :key="text">{{ text }}</li></ul></dd>
          </dl>
        </div>
      </div>
      <div class="so-film-bar">
        <button type="button" class="so-film-key" title="Back (left arrow)" aria-label="Step back" data-testid="film-back" @click="step(-1)">◂</button>
        <button type="button" class="so-film-key is-play" title="Play or pause (space)" data-testid="film-play" :aria-label="playing ? 'Pause' : 'Play'" @click="toggle()">{{ playing ? "❚❚ Pause" : "▶ Play" }}</button>
        <button type="button" class="so-film-key" title="On (right arrow)" aria-label="Step on" data-testid="film-on-step" @click="step(1)">▸</button>
        <label class="so-small"><select v-model.number="speed" data-testid="film-pace" aria-label="Speed of the film" @change="tell()">
          <option v-for="one in speeds" :key="one" :value="one">{{ one }} a second</option></select></label>
        <span class="so-quiet so-small" data-testid="film-count">{{ place }}</span>
        <span class="so-grow"></span>
        <span class="so-quiet so-small so-film-keys"><kbd>space</kbd><kbd>←</kbd><kbd>→</kbd></span>
      </div>
      <canvas ref="plot" class="so-film-plot" tabindex="0" role="slider" aria-label="Place in the film" data-testid="film-plot"
        @pointerdown="grab" @pointermove="drag" @pointerup="drop" @pointercancel="drop"></canvas>
      <div class="so-quiet so-small" data-testid="film-note">{{ note }}</div>
    </div>`,
  props: { src: String, images: String, shapes: Array, at: Number, first: String, pace: Number, begin: Boolean, label: String },
  data() {
    return {
      quantities: QUANTITIES, speeds: SPEEDS, quantity: this.first || "column", speed: SPEEDS.includes(this.pace) ? this.pace : 5,
      playing: false, fresh: true, waiting: false, why: "", place: "", note: "",
      fact: { rate: "–", what: "", time: "–", speed: "–", direction: "–", amount: "–", status: "", bad: false, flags: [] },
    };
  },
  async mounted() {
    this.film = null;
    this.index = 0;
    this.kept = new Map();
    this.contrast = {};
    this.alive = true;
    const [, frames] = await loaded;
    if (!this.$el.isConnected) return;
    this.decode = frames.decodeFrame;
    this.viewer = document.createElement("so2cam-viewer");
    this.viewer.style.height = "100%";
    this.viewer.readonly = true;
    this.viewer.setAttribute("label", this.label || "film");
    this.viewer.shapes = this.shapes ?? [];
    this.$refs.screen.append(this.viewer);
    this.theme = () => {
      this.viewer.setAttribute("theme", document.body.classList.contains("body--dark") ? "dark" : "light");
      this.draw();
    };
    this.watcher = new MutationObserver(this.theme);
    this.watcher.observe(document.body, { attributeFilter: ["class"] });
    this.theme();
    this.resize = new ResizeObserver(() => this.draw());
    this.resize.observe(this.$refs.plot);
    this.keys = (event) => this.key(event);
    document.addEventListener("keydown", this.keys);
    await this.load();
  },
  beforeUnmount() {
    this.alive = false;
    clearTimeout(this.timer);
    clearTimeout(this.telling);
    this.watcher?.disconnect();
    this.resize?.disconnect();
    document.removeEventListener("keydown", this.keys);
  },
  methods: {
    async load() {
      try {
        const answer = await fetch(base() + this.src, { cache: "no-store" });
        if (!answer.ok) throw new Error((await answer.json()).detail ?? String(answer.status));
        this.film = await answer.json();
      } catch (error) {
        this.why = `The film cannot be loaded: ${error.message}`;
        return;
      }
      if (!this.alive) return;
      const film = this.film;
      const count = film.t.length;
      const parts = [];
      if (!film.processed) parts.push("no results in this time: frames as they are kept");
      if (film.every > 1) parts.push(`one in ${film.every} of ${film.pairs} pairs`);
      parts.push(film.processed ? "band: 1 sigma, all uncertainties; marks at the bottom: pairs without a value; times without pairs are cut out" : "");
      this.note = count ? parts.filter(Boolean).join("; ") : "";
      if (!count) {
        this.why = "There are no pairs in this time that pass.";
        return;
      }
      if (!film.processed && this.quantity === "column" && !this.at) this.quantity = "on";
      const held = document.activeElement;
      if (held && held !== document.body && !held.closest("input, select, textarea, .q-field")) this.$refs.plot.focus({ preventScroll: true });
      this.index = this.nearest(this.at || film.t[0]);
      await this.show(this.index);
      const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
      if (this.begin && this.fresh && this.alive && !still) this.play();
    },
    nearest(at) {
      let best = 0;
      this.film.t.forEach((t, i) => {
        if (Math.abs(t - at) < Math.abs(this.film.t[best] - at)) best = i;
      });
      return best;
    },
    goTo(at) {
      if (!this.film?.t.length) return;
      this.pause();
      this.show(this.nearest(at));
      this.tell();
    },
    // --- images -------------------------------------------------------------------------------------------------
    image(index) {
      const key = `${this.quantity}/${this.film.t[index]}`;
      let found = this.kept.get(key);
      if (!found) {
        found = this.fetch(this.quantity, this.film.t[index]);
        this.kept.set(key, found);
        found.then((got) => got.lost && this.kept.delete(key));
        while (this.kept.size > KEPT) this.kept.delete(this.kept.keys().next().value);
      }
      return found;
    },
    async fetch(quantity, time) {
      try {
        const answer = await fetch(`${base()}${this.images}/${quantity}?time=${time}`, { cache: "no-store", signal: AbortSignal.timeout(60000) });
        if (answer.status >= 500) return { lost: true, why: "The station failed to make this image." };
        if (!answer.ok) return { why: (await answer.json()).detail };
        return this.decode(await answer.arrayBuffer());
      } catch {
        return { lost: true, why: "The station does not answer." };
      }
    },
    ahead() {
      const many = this.playing ? AHEAD : 1;
      for (let i = 1; i <= many; i += 1) if (this.index + i < this.film.t.length) this.image(this.index + i);
    },
    async show(index) {
      // The cursor and the values go at once; the image follows as soon as it is there.
      if (this.index !== index) this.fresh = false; // somebody goes through it by hand
      this.index = index;
      this.tellValues();
      this.draw();
      this.waiting = true;
      const quantity = this.quantity;
      const coming = this.image(index);
      this.ahead();
      const got = await coming;
      if (!this.alive || this.index !== index || this.quantity !== quantity) return;
      this.waiting = false;
      this.why = got.why ?? "";
      if (got.pixels) {
        this.paint(got, quantity);
      } else {
        this.viewer.clear();
      }
      this.$refs.film.dataset.shown = new Date(this.film.t[index] / 1000).toISOString();
    },
    paint(got, quantity) {
      this.viewer.colours = quantity === "on" || quantity === "off" ? "grey" : "viridis";
      this.viewer.marks = quantity === "on" || quantity === "off";
      if (!this.contrast[quantity]) {
        this.contrast[quantity] = range(got); // one scale for the whole film, or it would flicker
      }
      if (this.drawn !== quantity) {
        this.viewer.contrast = this.contrast[quantity];
        this.drawn = quantity;
      }
      this.viewer.setImage(got.header, got.pixels);
    },
    choose(quantity) {
      if (quantity === this.quantity || !this.film) return;
      this.quantity = quantity;
      this.show(this.index);
      this.tell();
    },
    // --- playing ------------------------------------------------------------------------------------------------
    toggle() {
      if (this.playing) this.pause();
      else this.play();
    },
    play() {
      if (!this.film?.t.length) return;
      if (this.index >= this.film.t.length - 1) this.index = -1;
      this.playing = true;
      this.fresh = false;
      this.$refs.film.dataset.state = "playing";
      this.round();
    },
    pause() {
      if (!this.playing) return;
      this.playing = false;
      this.$refs.film.dataset.state = "paused";
      clearTimeout(this.timer);
      this.tell();
    },
    async round() {
      const begun = performance.now();
      await this.image(this.index + 1);
      if (!this.playing || !this.alive) return;
      await this.show(this.index + 1);
      if (!this.playing || !this.alive) return;
      if (this.index >= this.film.t.length - 1) {
        this.pause();
        return;
      }
      if (!this.told || performance.now() - this.told > 2000) this.tell(0);
      this.timer = setTimeout(() => this.round(), Math.max(0, 1000 / this.speed - (performance.now() - begun)));
    },
    step(by) {
      if (!this.film?.t.length) return;
      this.pause();
      this.show(Math.min(this.film.t.length - 1, Math.max(0, this.index + by)));
      this.tell();
    },
    key(event) {
      if (event.ctrlKey || event.metaKey || event.altKey || !this.film?.t.length) return;
      const target = event.target;
      if (target.closest?.("input, textarea, select, [contenteditable=true], so2cam-viewer, dialog, .q-dialog, .q-menu")) return;
      const many = event.shiftKey ? 10 : 1;
      if (event.key === " ") {
        if (target.closest?.("button, a, [role=button], [role=checkbox], summary") && !target.closest(".so-film")) return;
        if (target.closest?.(".so-film button")) target.blur();
        this.toggle();
      } else if (event.key === "ArrowLeft") this.step(-many);
      else if (event.key === "ArrowRight") this.step(many);
      else if (event.key === "Home" && target === this.$refs.plot) this.step(-this.film.t.length);
      else if (event.key === "End" && target === this.$refs.plot) this.step(this.film.t.length);
      else return;
      event.preventDefault();
    },
    tell(wait = 250) {
      clearTimeout(this.telling);
      this.telling = setTimeout(() => {
        this.told = performance.now();
        this.$emit("place", { at: this.film.t[this.index], quantity: this.quantity, speed: this.speed });
      }, wait);
    },
    tellValues() {
      const film = this.film;
      const i = this.index;
      const status = film.status[i];
      this.place = `${i + 1} of ${film.t.length}`;
      this.fact = {
        rate: figures(film.rate[i], together(film, i)),
        what: film.rate[i] === null ? "" : `${figures(film.rate[i] * 86.4)} t/d`,
        time: `${moment(film.t[i])} UTC`,
        speed: film.speed[i] === null ? "–" : `${figures(film.speed[i], film.speed_uncertainty[i])} m/s`,
        direction: film.direction[i] === null ? "–" : `${film.direction[i].toFixed(0)}°`,
        amount: film.amount[i] === null ? "–" : `${figures(film.amount[i])} kg/m`,
        status: status < 0 ? "not processed" : film.status_text[status],
        bad: status !== 0,
        flags: Object.entries(film.flag_text).filter(([bit]) => film.flags[i] & Number(bit)).map(([, text]) => text),
      };
      const root = this.$refs.film;
      root.dataset.moment = new Date(film.t[i] / 1000).toISOString();
      root.dataset.rate = film.rate[i] ?? "";
      root.dataset.index = String(i);
      root.dataset.count = String(film.t.length);
      if (root.dataset.state === "empty") root.dataset.state = "paused";
    },
    // --- the plot -----------------------------------------------------------------------------------------------
    draw() {
      const canvas = this.$refs.plot;
      if (!canvas || !this.film?.t.length) return;
      const width = canvas.clientWidth;
      const height = canvas.clientHeight;
      const ratio = window.devicePixelRatio || 1;
      if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
        canvas.width = Math.round(width * ratio);
        canvas.height = Math.round(height * ratio);
      }
      const pen = canvas.getContext("2d");
      pen.setTransform(ratio, 0, 0, ratio, 0, 0);
      pen.clearRect(0, 0, width, height);
      drawPlot(pen, this.film, this.index, { width, height, ...this.box(width, height) });
      canvas.setAttribute("aria-valuemin", "1");
      canvas.setAttribute("aria-valuemax", String(this.film.t.length));
      canvas.setAttribute("aria-valuenow", String(this.index + 1));
      canvas.setAttribute("aria-valuetext", `${this.fact.time}, ${this.fact.rate} kg/s`);
    },
    box(width, height) {
      const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
      return { left: 2.6 * rem, right: width - 0.5 * rem, top: 1.3 * rem, bottom: height - 1.4 * rem, rem };
    },
    grab(event) {
      if (!this.film?.t.length) return;
      this.pause();
      this.held = true;
      event.target.setPointerCapture(event.pointerId);
      this.drag(event);
    },
    drag(event) {
      if (!this.held) return;
      const { left, right } = this.box(this.$refs.plot.clientWidth, 0);
      const share = (event.offsetX - left) / Math.max(1, right - left);
      const index = Math.round(share * (this.film.t.length - 1));
      this.show(Math.min(this.film.t.length - 1, Math.max(0, index)));
    },
    drop() {
      if (!this.held) return;
      this.held = false;
      this.tell();
    },
  },
};

function range({ header, pixels }) {
  // From the 1st to the 99.5th percentile of some thousand pixels.
  const some = [];
  const stride = Math.max(1, Math.floor(pixels.length / 20011));
  for (let i = 0; i < pixels.length; i += stride) if (pixels[i] !== header.invalid) some.push(pixels[i]);
  if (some.length < 2) return null;
  some.sort((a, b) => a - b);
  const value = (share) => some[Math.floor(share * (some.length - 1))] * header.scale + header.offset;
  const [low, high] = [value(0.01), value(0.995)];
  return high > low ? [low, high] : null;
}

function drawPlot(pen, film, index, box) {
  const { left, right, top, bottom, rem } = box;
  const n = film.t.length;
  const x = (i) => left + (n > 1 ? (i / (n - 1)) * (right - left) : (right - left) / 2);
  const sigmas = film.t.map((_, i) => together(film, i));
  let low = 0;
  let high = 0;
  film.rate.forEach((value, i) => {
    if (value === null) return;
    low = Math.min(low, value - (sigmas[i] ?? 0));
    high = Math.max(high, value + (sigmas[i] ?? 0));
  });
  if (high <= low) high = low + 1;
  const y = (value) => bottom - ((value - low) / (high - low)) * (bottom - top);
  pen.font = `${0.8 * rem}px ${getComputedStyle(document.body).fontFamily}`;
  axis(pen, film, { ...box, x, y, low, high, n });
  const gaps = breaks(film.t);
  pen.fillStyle = css("--so-data-1");
  pen.globalAlpha = 0.2;
  for (const [from, to] of runs(film, gaps)) {
    pen.beginPath();
    for (let i = from; i <= to; i += 1) pen.lineTo(x(i), y(film.rate[i] + (sigmas[i] ?? 0)));
    for (let i = to; i >= from; i -= 1) pen.lineTo(x(i), y(film.rate[i] - (sigmas[i] ?? 0)));
    pen.fill();
  }
  pen.globalAlpha = 1;
  pen.strokeStyle = css("--so-data-1");
  pen.lineWidth = 0.11 * rem;
  pen.lineJoin = "round";
  for (const [from, to] of runs(film, gaps)) {
    pen.beginPath();
    for (let i = from; i <= to; i += 1) pen.lineTo(x(i), y(film.rate[i]));
    if (from === to) pen.arc(x(from), y(film.rate[from]), 0.08 * rem, 0, 7);
    pen.stroke();
  }
  pen.fillStyle = css("--so-warn");
  film.rate.forEach((value, i) => {
    if (value === null && film.processed) pen.fillRect(x(i) - 1, bottom - 0.35 * rem, 2, 0.35 * rem);
  });
  cursor(pen, film, index, { ...box, x, y });
}

function cursor(pen, film, index, { x, y, top, bottom, rem }) {
  const at = x(index);
  pen.strokeStyle = css("--so-ink");
  pen.lineWidth = Math.max(1, 0.1 * rem);
  pen.beginPath();
  pen.moveTo(at, top - 0.2 * rem);
  pen.lineTo(at, bottom);
  pen.stroke();
  if (film.rate[index] === null) return;
  pen.fillStyle = css("--so-ink");
  pen.beginPath();
  pen.arc(at, y(film.rate[index]), 0.26 * rem, 0, 7);
  pen.fill();
}

function axis(pen, film, { left, right, top, bottom, rem, x, y, low, high, n }) {
  const rough = (high - low) / 3;
  const power = 10 ** Math.floor(Math.log10(rough));
  const gap = [1, 2, 5, 10].map((f) => f * power).find((f) => f >= rough);
  pen.strokeStyle = css("--so-line");
  pen.fillStyle = css("--so-quiet");
  pen.lineWidth = 1;
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  const digits = Math.max(0, -Math.floor(Math.log10(gap) + 1e-9));
  for (let value = Math.ceil(low / gap) * gap; value <= high + 1e-9; value += gap) {
    pen.beginPath();
    pen.moveTo(left, y(value));
    pen.lineTo(right, y(value));
    pen.stroke();
    pen.fillText(value.toFixed(digits).replace("-", MINUS), left - 0.4 * rem, y(value));
  }
  pen.textAlign = "left";
  pen.textBaseline = "top";
  pen.fillText("Emission rate, kg/s", left, 0);
  pen.textBaseline = "bottom";
  const several = film.t[n - 1] - film.t[0] > 86_400e6;
  const many = Math.max(1, Math.floor((right - left) / ((several ? 8 : 6) * rem)));
  for (let k = 0; k <= many; k += 1) {
    const i = Math.round((k / many) * (n - 1));
    pen.textAlign = k === 0 ? "left" : k === many ? "right" : "center";
    const stamp = several ? moment(film.t[i]).slice(5, 16) : clock(film.t[i]);
    pen.fillText(stamp, x(i), bottom + 1.35 * rem);
  }
}

function breaks(times) {
  // Where more than ten times the usual time lies between two pairs.
  const steps = times.slice(1).map((t, i) => t - times[i]);
  const usual = [...steps].sort((a, b) => a - b)[Math.floor(steps.length / 2)] ?? 0;
  return new Set(steps.flatMap((step, i) => (step > 10 * usual ? [i + 1] : [])));
}

function runs(film, gaps) {
  // Stretches of pairs that have a value, without a break.
  const found = [];
  let from = null;
  film.rate.forEach((value, i) => {
    if (from !== null && (value === null || gaps.has(i))) {
      found.push([from, i - 1]);
      from = null;
    }
    if (value !== null && from === null) from = i;
  });
  if (from !== null) found.push([from, film.rate.length - 1]);
  return found;
}
