// A small plot of x and y with the colours of the theme, dark or light: lines, points, bands.
import { echarts } from "nicegui-echart";

const CLOCK = {
  year: "{yyyy}", month: "{yyyy}-{MM}", day: "{MM}-{dd}", hour: "{HH}:{mm}", minute: "{HH}:{mm}",
  second: "{HH}:{mm}:{ss}", millisecond: "{HH}:{mm}:{ss}",
};

function css(name) {
  return getComputedStyle(document.body).getPropertyValue(`--so-${name}`).trim() || "#888";
}

export default {
  template: "<div></div>",
  props: { figure: Object, label: String },
  mounted() {
    this.$el.setAttribute("role", "img");
    this.$el.setAttribute("aria-label", this.label || "plot");
    this.chart = echarts.init(this.$el, null, { renderer: "canvas" });
    this.$el.so2camChart = this.chart; // for what is laid over it, as windows with edges to drag
    this.resize = new ResizeObserver(() => {
      this.chart.resize();
      this.draw();
    });
    this.resize.observe(this.$el);
    this.chart.on("click", (at) => this.$emit("picked", { series: at.seriesName, index: at.dataIndex }));
    this.recolour = () => setTimeout(() => this.draw(), 0);
    document.addEventListener("so2cam-theme", this.recolour);
    this.draw();
  },
  beforeUnmount() {
    this.resize?.disconnect();
    document.removeEventListener("so2cam-theme", this.recolour);
    this.chart?.dispose();
  },
  watch: { figure: { deep: true, handler() { this.draw(); } } },
  methods: {
    draw() {
      if (!this.chart) return;
      const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
      const { x = {}, y = {}, series = [] } = this.figure;
      const axis = (one) => ({
        type: one.time ? "time" : one.log ? "log" : "value", min: one.min, max: one.max, scale: one.scale !== false,
        splitNumber: one.time ? Math.max(2, Math.round(this.$el.clientWidth / (8 * rem))) : 4, interval: one.step, axisLine: { lineStyle: { color: css("line") } }, axisTick: { show: false },
        splitLine: { lineStyle: { color: css("line"), opacity: 0.55 } },
        axisLabel: { color: css("quiet"), fontSize: 0.8 * rem, hideOverlap: true, ...(one.log ? {} : { formatter: one.time ? CLOCK : one.compact ? short : plain }) },
        nameTextStyle: { color: css("quiet"), fontSize: 0.82 * rem },
      });
      const drawn = [];
      for (const one of series) {
        const colour = css(one.colour || "data-1");
        const points = one.x.map((value, i) => [value, one.y[i]]);
        const style = { name: one.name, animation: false, emphasis: { disabled: true }, itemStyle: { color: colour } };
        if (one.kind === "points") {
          drawn.push({ ...style, type: "scatter", data: points.map((p, i) => (one.weight ? { value: p, itemStyle: { opacity: 0.15 + 0.75 * one.weight[i] } } : p)), symbolSize: (one.size || 0.45) * rem, symbol: one.symbol || "circle", z: 4 });
        } else if (one.kind === "band") {
          const base = { ...style, type: "line", showSymbol: false, silent: true, stack: one.name, stackStrategy: "all", lineStyle: { opacity: 0 }, tooltip: { show: false } };
          drawn.push({ ...base, data: one.x.map((value, i) => [value, one.low[i]]) });
          drawn.push({ ...base, data: one.x.map((value, i) => [value, one.high[i] === null || one.low[i] === null ? null : one.high[i] - one.low[i]]), areaStyle: { color: colour, opacity: 0.18 } });
        } else {
          drawn.push({ ...style, type: "line", data: points, showSymbol: false, connectNulls: false, lineStyle: { color: colour, width: 0.1 * rem, type: one.dashed ? "dashed" : "solid" }, z: 3, sampling: points.length > 4000 ? "lttb" : undefined });
        }
      }
      const names = series.filter((one) => one.kind !== "band" && one.legend !== false).map((one) => one.name);
      const below = names.length > 2 && this.$el.clientWidth < 26 * rem;
      this.chart.setOption(
        {
          animation: false, useUTC: true, textStyle: { fontFamily: getComputedStyle(document.body).fontFamily },
          title: { text: y.name || "", left: 0, top: 0.2 * rem, padding: 0, textStyle: { color: css("quiet"), fontSize: 0.82 * rem, fontWeight: "normal" } },
          grid: { left: (y.gutter || 0.2) * rem, right: 1.1 * rem, top: (below ? 3.3 : 2.1) * rem, bottom: (y.gutter ? (x.name ? 3.2 : 1.6) : x.name ? 1.9 : 0.5) * rem, containLabel: !y.gutter },
          legend: { show: names.length > 1, data: names, top: below ? 1.35 * rem : 0, ...(below ? { left: 0 } : { right: 0 }), itemGap: 0.7 * rem, itemWidth: 1.1 * rem, itemHeight: 0.5 * rem, textStyle: { color: css("quiet"), fontSize: 0.82 * rem } },
          tooltip: { trigger: series.every((one) => one.kind === "points") ? "item" : "axis", confine: true, transitionDuration: 0, borderColor: css("line"), backgroundColor: css("surface"), textStyle: { color: css("ink"), fontSize: 0.85 * rem }, valueFormatter: (v) => (typeof v === "number" ? String(Number(v.toPrecision(4))) : "–") },
          xAxis: { ...axis(x), name: x.name, nameLocation: "middle", nameGap: 1.9 * rem },
          yAxis: { ...axis(y), splitNumber: this.$el.clientHeight < 11 * rem ? 2 : 4 },
          series: drawn,
        },
        { notMerge: true },
      );
      this.$el.dataset.points = String(series.reduce((sum, one) => sum + (one.guide ? 0 : one.x.length), 0));
      this.$el.dispatchEvent(new CustomEvent("so2cam-drawn", { bubbles: true }));
    },
  },
};

function plain(value) {
  return String(Number(value.toPrecision(9))).replace("-", "−");
}

function short(value) {
  const size = Math.abs(value);
  if (size >= 1e6) return `${plain(value / 1e6)} M`;
  return size >= 1e4 ? `${plain(value / 1e3)} k` : plain(value);
}
