// Two images of one scene laid over each other: by turns, mixed, or the one less the other. Zoom and place stay.

const prefix = window.path_prefix || "";
const loaded = Promise.all([import(`${prefix}/static/so2cam/viewer.js`), import(`${prefix}/static/so2cam/viewer-frame.js`)]);
const INVALID = 65535;
const STEPS = 65534;

export default {
  template: "<div class='so2cam-viewer-frame'></div>",
  props: { first: String, second: String, number: Number, mode: String, seconds: Number, share: Number, label: String },
  async mounted() {
    [, this.frames] = await loaded;
    if (!this.$el.isConnected) return;
    this.viewer = document.createElement("so2cam-viewer");
    this.viewer.style.height = "100%";
    this.viewer.readonly = true;
    this.viewer.setAttribute("label", this.label || "images laid over each other");
    this.watcher = new MutationObserver(() => this.theme());
    this.watcher.observe(document.body, { attributeFilter: ["class"] });
    this.theme();
    this.$el.append(this.viewer);
    await this.load();
  },
  beforeUnmount() {
    this.watcher?.disconnect();
    clearInterval(this.timer);
  },
  watch: {
    number() { this.load(); },
    mode() { this.show(); },
    seconds() { this.show(); },
    share() { this.show(); },
  },
  methods: {
    theme() {
      this.viewer.setAttribute("theme", document.body.classList.contains("body--dark") ? "dark" : "light");
    },
    async load() {
      if (!this.frames || !this.number) return;
      const wanted = this.number;
      const fetched = await Promise.all([this.first, this.second].map(async (src) => {
        const answer = await fetch(`${prefix}${src}`, { cache: "no-store" });
        return answer.status === 200 ? this.frames.decodeFrame(await answer.arrayBuffer()) : null;
      })).catch(() => [null, null]);
      if (wanted !== this.number || !this.viewer) return;
      this.images = fetched.every(Boolean) ? fetched : null;
      this.show();
    },
    show() {
      clearInterval(this.timer);
      if (!this.viewer) return;
      this.$el.dataset.mode = this.mode;
      if (!this.images) {
        this.viewer.clear();
        delete this.$el.dataset.difference;
        return;
      }
      this.$el.dataset.difference = this.typical().toFixed(4);
      const difference = this.mode === "difference";
      this.viewer.colours = difference ? "diverging" : "grey";
      this.viewer.contrast = difference ? [-0.5, 0.5] : null;
      if (difference) this.put(this.images[0].header, (a, b) => Math.round((a - b + STEPS) / 2), { scale: 2 / STEPS, offset: -1, label: "on band less off band" });
      else if (this.mode === "mix") this.put(this.images[0].header, (a, b) => Math.round((1 - this.share) * a + this.share * b), { label: `${Math.round(100 * this.share)} % off band` });
      else this.blink();
    },
    put(header, mix, more) {
      const [{ pixels: a }, { pixels: b }] = this.images;
      const made = new Uint16Array(a.length);
      for (let index = 0; index < a.length; index += 1) made[index] = a[index] === INVALID || b[index] === INVALID ? INVALID : mix(a[index], b[index]);
      this.viewer.setImage({ ...header, ...more }, made);
    },
    blink() {
      let turn = 0;
      const next = () => {
        const { header, pixels } = this.images[turn];
        this.viewer.setImage(header, pixels);
        this.$el.dataset.shown = turn ? "off" : "on";
        turn = 1 - turn;
      };
      next();
      if (!matchMedia("(prefers-reduced-motion: reduce)").matches) this.timer = setInterval(next, 1000 * this.seconds);
    },
    /** The r.m.s. difference, over some thousand pixels: edges that do not lie on each other count most. */
    typical() {
      const [{ pixels: a }, { pixels: b }] = this.images;
      let [sum, count] = [0, 0];
      for (let index = 0; index < a.length; index += 37) {
        if (a[index] === INVALID || b[index] === INVALID) continue;
        sum += ((a[index] - b[index]) / STEPS) ** 2;
        count += 1;
      }
      return Math.sqrt(sum / count);
    },
  },
};
