// Emission rate, column amount, speed and direction over time: four panels with one axis of time and one crosshair.
// Points come from `src` by HTTP; after the first look only new ones are asked for.
import { echarts } from "nicegui-echart";

const GAP = 6; // steps without a value after which a line is broken
const KEYS = ["rate", "sigma", "amount", "speed", "direction", "n", "valid", "status"];
const PANELS = [
  { key: "rate", name: "Emission rate", unit: "kg/s", share: 0.46 },
  { key: "amount", name: "Column amount", unit: "kg/m", share: 0.18 },
  { key: "speed", name: "Speed", unit: "m/s", share: 0.18 },
  { key: "direction", name: "Direction", unit: "°", share: 0.18 },
];

const figures = (value, sigma) => window.so2cam.figures(value, sigma);

function css(name) {
  return getComputedStyle(document.body).getPropertyValue(name).trim();
}

function escape(text) {
  return String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

class Store {
  // The points of every series, in order of time, without those that went out of the window.
  constructor() {
    this.clear();
  }

  clear() {
    this.series = new Map();
    this.why = {};
    this.step_s = 1;
    this.last = null;
  }

  take(answer, from) {
    this.step_s = answer.step_s;
    Object.assign(this.why, answer.why);
    const seen = new Set();
    for (const got of answer.series) {
      seen.add(got.line);
      let kept = this.series.get(got.line);
      if (!kept) {
        kept = { line: got.line, trial: got.trial, t: [] };
        for (const key of KEYS) kept[key] = [];
        this.series.set(got.line, kept);
      }
      const first = got.t.length ? got.t[0] : Infinity;
      let cut = kept.t.length;
      while (cut > 0 && (kept.t[cut - 1] >= first || (from === null && cut > 0))) cut -= 1;
      kept.t.length = cut;
      kept.t.push(...got.t);
      for (const key of KEYS) {
        kept[key].length = cut;
        kept[key].push(...got[key]);
      }
      if (got.t.length) this.last = Math.max(this.last ?? 0, got.t[got.t.length - 1]);
    }
    for (const line of [...this.series.keys()]) if (!seen.has(line)) this.series.delete(line);
  }

  drop(before) {
    for (const kept of this.series.values()) {
      let count = 0;
      while (count < kept.t.length && kept.t[count] < before) count += 1;
      if (!count) continue;
      kept.t.splice(0, count);
      for (const key of KEYS) kept[key].splice(0, count);
    }
  }

  points(line, key) {
    const kept = this.series.get(line);
    if (!kept) return [];
    const gap = GAP * 1000 * Math.max(this.step_s, this.cadence(kept));
    const points = [];
    for (let i = 0; i < kept.t.length; i += 1) {
      if (i && kept.t[i] - kept.t[i - 1] > gap) points.push([kept.t[i - 1] + 1, null]);
      points.push([kept.t[i], kept[key][i]]);
    }
    return points;
  }

  cadence(kept) {
    const n = kept.t.length;
    return n > 3 ? (kept.t[n - 1] - kept.t[Math.max(0, n - 20)]) / 1000 / (Math.min(n, 20) - 1) : 1;
  }
}

export default {
  template: '<div class="so-trend"><div ref="plot" class="so-trend-plot"></div><div ref="note" class="so-trend-note" role="status"></div></div>',
  props: { src: String, colours: Object, chosen: String, total: String, span: Object, method: String, label: String },
  mounted() {
    this.store = new Store();
    this.alive = true;
    this.asked = 0;
    this.$refs.plot.setAttribute("role", "img");
    this.$refs.plot.setAttribute("aria-label", this.label || "trend");
    this.chart = echarts.init(this.$refs.plot, null, { renderer: "canvas", useDirtyRect: false });
    this.resize = new ResizeObserver(() => {
      this.chart.resize();
      this.layout();
    });
    this.resize.observe(this.$refs.plot);
    this.recolour = () => setTimeout(() => this.layout(), 0);
    document.addEventListener("so2cam-theme", this.recolour);
    this.seen = () => document.visibilityState === "visible" && this.look();
    document.addEventListener("visibilitychange", this.seen);
    this.layout();
    this.look();
  },
  beforeUnmount() {
    this.alive = false;
    clearTimeout(this.timer);
    this.resize?.disconnect();
    document.removeEventListener("so2cam-theme", this.recolour);
    document.removeEventListener("visibilitychange", this.seen);
    this.chart?.dispose();
  },
  watch: {
    span: { deep: true, handler() { this.restart(); } },
    method() { this.restart(); },
    chosen() { this.layout(); },
  },
  methods: {
    now() {
      return (window.so2cam?.now?.() ?? new Date()).getTime();
    },
    window() {
      if (this.span.start) return [Date.parse(this.span.start), Date.parse(this.span.end)];
      const end = this.now();
      return [end - this.span.seconds * 1000, end];
    },
    restart() {
      this.store.clear();
      this.asked += 1;
      this.look();
    },
    async look() {
      clearTimeout(this.timer);
      if (!this.alive) return;
      let wait = Math.min(30000, Math.max(1000, this.store.step_s * 250));
      if (document.visibilityState === "visible") {
        const asked = this.asked;
        const [start, end] = this.window();
        const from = this.store.last === null ? null : this.store.last - this.store.step_s * 1000;
        const query = new URLSearchParams({
          method: this.method,
          start: String(Math.floor(from ?? start)),
          end: String(Math.ceil(end + 5000)),
          span: String(Math.round((end - start) / 1000)),
        });
        try {
          const answer = await fetch(`${this.src}?${query}`, { cache: "no-store", signal: AbortSignal.timeout(20000) });
          if (!answer.ok) throw new Error(String(answer.status));
          const found = await answer.json();
          if (!this.alive || asked !== this.asked) return;
          this.store.take(found, from);
          this.store.drop(start - this.store.step_s * 1000);
          this.draw();
          wait = Math.min(30000, Math.max(1000, this.store.step_s * 250));
          if (this.span.start && end < this.now()) return;
        } catch {
          if (asked !== this.asked) return;
          wait = 2000;
        }
      }
      this.timer = setTimeout(() => this.look(), wait);
    },
    colour(line) {
      return css(`--so-${this.colours[line] ?? (line.endsWith("(trial)") ? "data-2" : "ink")}`) || css("--so-ink");
    },
    rem() {
      return parseFloat(getComputedStyle(document.documentElement).fontSize);
    },
    layout() {
      if (!this.chart) return;
      const rem = this.rem();
      const small = this.$refs.plot.clientWidth < 34 * rem;
      const height = this.$refs.plot.clientHeight;
      const left = (small ? 2.9 : 3.6) * rem;
      const head = (small ? 3.3 : 1.9) * rem;
      const foot = 1.6 * rem;
      const gap = 1.75 * rem;
      const free = height - head - foot - gap * (PANELS.length - 1);
      let top = head;
      const grids = PANELS.map((panel) => {
        const box = { left, right: 0.9 * rem, top, height: Math.max(20, free * panel.share), containLabel: false };
        top += box.height + gap;
        return box;
      });
      this.base = {
        animation: false,
        useUTC: true,
        textStyle: { fontFamily: getComputedStyle(document.body).fontFamily, fontSize: 0.82 * rem },
        grid: grids,
        legend: {
          top: 0, ...(small ? { left: 0 } : { right: 0 }), itemGap: 0.9 * rem, itemWidth: 1.2 * rem, itemHeight: 0.5 * rem, icon: "roundRect",
          textStyle: { color: css("--so-quiet"), fontSize: 0.85 * rem }, type: "scroll",
          inactiveColor: css("--so-line"),
        },
        axisPointer: { link: [{ xAxisIndex: "all" }], lineStyle: { color: css("--so-quiet"), type: "dashed" } },
        tooltip: {
          trigger: "axis", confine: true, transitionDuration: 0, borderWidth: 1, borderColor: css("--so-line"),
          backgroundColor: css("--so-surface"), textStyle: { color: css("--so-ink"), fontSize: 0.85 * rem },
          formatter: (parts) => this.tip(parts), extraCssText: "box-shadow:0 2px 10px rgb(0 0 0/18%)",
        },
        xAxis: PANELS.map((_, index) => ({
          type: "time", gridIndex: index, axisLine: { lineStyle: { color: css("--so-line") } },
          axisTick: { show: index === PANELS.length - 1, lineStyle: { color: css("--so-line") } },
          splitLine: { show: true, lineStyle: { color: css("--so-line"), opacity: 0.55 } },
          axisLabel: { show: index === PANELS.length - 1, color: css("--so-quiet"), hideOverlap: true, fontSize: 0.8 * rem,
            formatter: { hour: "{HH}:{mm}", minute: "{HH}:{mm}", second: "{HH}:{mm}:{ss}", day: "{MM}-{dd}" } },
          axisPointer: { label: { show: false } },
          splitNumber: small ? 3 : 7,
        })),
        yAxis: PANELS.map((panel, index) => ({
          type: "value", gridIndex: index, scale: panel.key === "direction", splitNumber: index ? 2 : 5,
          min: panel.key === "direction" ? undefined : (v) => Math.min(0, v.min),
          name: `${panel.name}, ${panel.unit}`, nameLocation: "end", nameGap: 0.62 * rem,
          nameTextStyle: { color: css("--so-quiet"), align: "left", padding: [0, 0, 0, -left + 2], fontSize: 0.82 * rem },
          axisLabel: { color: css("--so-quiet"), fontSize: 0.8 * rem },
          axisLine: { show: false }, axisTick: { show: false },
          splitLine: { lineStyle: { color: css("--so-line"), opacity: 0.55 } },
        })),
      };
      this.draw();
    },
    draw() {
      if (!this.chart || !this.base) return;
      let [start, end] = this.window();
      const lines = [...this.store.series.values()];
      if (!this.span.start) {
        // A station that has just begun shows what it has, not an empty hour.
        const first = Math.min(...lines.filter((one) => one.t.length).map((one) => one.t[0]), end);
        start = Math.max(start, Math.min(first, end - 300000));
      }
      const series = [];
      for (const one of lines) {
        const colour = this.colour(one.line);
        const main = one.line === this.chosen || one.trial;
        PANELS.forEach((panel, index) => {
          if (panel.key !== "rate" && one[panel.key].every((v) => v === null)) return;
          series.push({
            id: `${one.line}/${panel.key}`, name: one.line, type: "line", xAxisIndex: index, yAxisIndex: index,
            data: this.store.points(one.line, panel.key), showSymbol: false, connectNulls: false, sampling: "lttb",
            lineStyle: { width: (main ? 0.14 : 0.09) * this.rem(), color: colour, type: one.trial ? "dashed" : "solid" },
            itemStyle: { color: colour }, emphasis: { disabled: true }, z: main ? 4 : 3,
            ...(panel.key === "direction" ? { connectNulls: false, sampling: undefined } : {}),
          });
        });
        if (main) {
          const low = [];
          const wide = [];
          one.t.forEach((t, i) => {
            const known = one.rate[i] !== null && one.sigma[i] !== null;
            low.push([t, known ? one.rate[i] - one.sigma[i] : null]);
            wide.push([t, known ? 2 * one.sigma[i] : null]);
          });
          const band = { type: "line", xAxisIndex: 0, yAxisIndex: 0, showSymbol: false, silent: true, stack: `${one.line}-band`,
            stackStrategy: "all", lineStyle: { opacity: 0 }, emphasis: { disabled: true }, z: 2, tooltip: { show: false } };
          series.push({ ...band, id: `${one.line}/low`, name: one.line, data: low, itemStyle: { color: colour } });
          series.push({ ...band, id: `${one.line}/band`, name: one.line, data: wide, itemStyle: { color: colour }, areaStyle: { color: colour, opacity: 0.18 } });
        }
      }
      const missing = this.store.series.get(this.chosen);
      if (missing) {
        series.push({
          id: "missing", name: this.chosen, type: "scatter", xAxisIndex: 0, yAxisIndex: 0, silent: true, symbol: "rect",
          symbolSize: [3, 0.4 * this.rem()], itemStyle: { color: css("--so-warn") }, tooltip: { show: false },
          data: missing.t.flatMap((t, i) => (missing.valid[i] < missing.n[i] ? [[t, 0]] : [])), z: 5,
        });
      }
      this.chart.setOption(
        {
          ...this.base,
          xAxis: this.base.xAxis.map((axis) => ({ ...axis, min: start, max: end })),
          legend: { ...this.base.legend, data: lines.map((one) => one.line) },
          series,
        },
        { replaceMerge: ["series"], lazyUpdate: true },
      );
      const count = lines.reduce((sum, one) => sum + one.t.length, 0);
      this.$el.dataset.points = String(count);
      this.$el.dataset.last = this.store.last ? new Date(this.store.last).toISOString() : "";
      this.$el.dataset.lines = lines.map((one) => one.line).join("|");
      const means = this.store.step_s > 2 ? `means over ${this.duration(this.store.step_s)}; ` : "";
      const text = count
        ? `${means}band: 1 sigma, all uncertainties; marks at the bottom: pairs without a value`
        : "no emission rates in this time";
      if (this.$refs.note.textContent !== text) this.$refs.note.textContent = text;
    },
    duration(seconds) {
      if (seconds < 120) return `${seconds} s`;
      return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
    },
    tip(parts) {
      if (!parts.length) return "";
      const at = parts[0].axisValue;
      const rows = [];
      for (const one of this.store.series.values()) {
        let best = -1;
        for (let i = 0; i < one.t.length; i += 1) if (best < 0 || Math.abs(one.t[i] - at) < Math.abs(one.t[best] - at)) best = i;
        if (best < 0 || Math.abs(one.t[best] - at) > GAP * 1000 * Math.max(1, this.store.step_s)) continue;
        const why = one.valid[best] < one.n[best] ? this.why_of(one.status[best], one, best) : "";
        const more = one.speed[best] === null ? "" : ` · ${figures(one.speed[best])} m/s · ${figures(one.amount[best])} kg/m`;
        rows.push(
          `<div><span style="color:${this.colour(one.line)}">■</span> ${escape(one.line)} <b>${figures(one.rate[best], one.sigma[best])}</b> kg/s${more}` +
            (why ? `<div style="max-width:20rem;white-space:normal;color:${css("--so-warn")}">${escape(why)}</div>` : "") + "</div>",
        );
      }
      const date = new Date(at);
      const stamp = window.so2cam ? `${window.so2cam.day(date)} ${window.so2cam.utc(date)} UTC` : date.toISOString();
      return `<div style="margin-bottom:.2rem">${stamp}<br><span style="color:${css("--so-quiet")}">${date.toLocaleTimeString("sv-SE")} local</span></div>${rows.join("")}`;
    },
    why_of(status, one, i) {
      const text = this.store.why[status] ?? "";
      return one.n[i] > 1 ? `${one.n[i] - one.valid[i]} of ${one.n[i]} pairs without a value: ${text}` : text;
    },
  },
};
