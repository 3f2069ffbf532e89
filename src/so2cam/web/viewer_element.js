// <so2cam-viewer> as an element of NiceGUI: properties down, events up; images never pass through here.

const PROPERTIES = ["shapes", "vectors", "colours", "tool", "rate", "readonly", "marks", "contrast", "histogram", "label", "hint", "compact", "staleAfter", "src"];
// What a person changes too: the station's word counts only when it says it anew, or it would undo what is under way.
const SHARED = ["shapes", "tool", "contrast"];
const EVENTS = ["shape-created", "shape-changed", "shape-removed", "shape-selected", "tool-changed", "contrast-changed", "image-click"];
const loaded = import(`${window.path_prefix || ""}/static/so2cam/viewer.js`);

export default {
  template: "<div class='so2cam-viewer-frame'></div>",
  props: Object.fromEntries([...PROPERTIES, "revisions"].map((name) => [name, { default: null }])),
  async mounted() {
    await loaded;
    if (!this.$el.isConnected) return;
    this.viewer = document.createElement("so2cam-viewer");
    this.viewer.style.height = "100%";
    for (const name of PROPERTIES) this.pass(name, this[name]);
    for (const name of EVENTS) this.viewer.addEventListener(name, (event) => this.$emit("said", { name, ...event.detail }));
    this.watcher = new MutationObserver(() => this.theme());
    this.watcher.observe(document.body, { attributeFilter: ["class"] });
    this.theme();
    this.$el.append(this.viewer);
  },
  beforeUnmount() {
    this.watcher?.disconnect();
  },
  methods: {
    pass(name, value) {
      if (name === "src" && value) this.viewer.src = `${value.startsWith("/") ? window.path_prefix || "" : ""}${value}`;
      else if (name === "label" || name === "hint") this.viewer.setAttribute(name, value ?? "");
      else if (name !== "rate" || value) this.viewer[name] = value;
    },
    theme() {
      this.viewer.setAttribute("theme", document.body.classList.contains("body--dark") ? "dark" : "light");
    },
    fit() {
      this.viewer?.fit();
    },
    selectShape(id) {
      this.viewer?.select(id);
    },
  },
  watch: {
    ...Object.fromEntries(
      PROPERTIES.filter((name) => !SHARED.includes(name)).map((name) => [
        name,
        function (value) {
          if (this.viewer) this.pass(name, value);
        },
      ]),
    ),
    revisions(now, before) {
      if (!this.viewer) return;
      for (const name of SHARED) if (now[name] !== before[name]) this.pass(name, this[name]);
    },
  },
};
