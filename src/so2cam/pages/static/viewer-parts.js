// What the viewer is made of: its elements and its style.

const HTML = `
<div class="stage" part="stage" data-testid="viewer-stage" tabindex="0" role="group" aria-roledescription="image">
  <canvas data-testid="viewer-canvas" aria-hidden="true"></canvas>
  <svg class="shapes"><g class="vectors" data-testid="viewer-vectors"><path class="halo"/><path class="ink"/></g><g class="layer"></g><path class="sketch halo"/><path class="sketch ink"/><path class="sketch dots"/></svg>
  <div class="notes">
    <div class="chip top" data-testid="viewer-caption" hidden><b></b><time></time></div>
    <div class="chip badge" data-testid="viewer-badge" role="status" hidden></div>
  </div>
  <div class="buttons free">
    <button type="button" data-testid="viewer-zoom-in" title="Zoom in (wheel, pinch or +)" aria-label="Zoom in">
      <svg viewBox="0 0 16 16"><path d="M8 3v10M3 8h10"/></svg></button>
    <button type="button" data-testid="viewer-zoom-out" title="Zoom out (−)" aria-label="Zoom out">
      <svg viewBox="0 0 16 16"><path d="M3 8h10"/></svg></button>
    <button type="button" data-testid="viewer-fit" title="Show the whole image (0)" aria-label="Show the whole image">
      <svg viewBox="0 0 16 16"><path d="M2.5 6V2.5H6M10 2.5h3.5V6M13.5 10v3.5H10M6 13.5H2.5V10"/></svg></button>
  </div>
  <div class="chip hint" data-testid="viewer-hint" hidden></div>
  <div class="chip bottom" data-testid="viewer-hover" hidden></div>
  <div class="overlay" data-testid="viewer-overlay" role="status" hidden></div>
  <input class="rename free" data-testid="viewer-rename" aria-label="Name" maxlength="64" hidden>
</div>
<div class="legend">
  <div class="bar">
    <div class="track" data-testid="viewer-bar" title="Drag an end to change the contrast; double-click: automatic">
      <canvas aria-hidden="true"></canvas>
      <div class="end" data-testid="viewer-bar-low" role="slider" tabindex="0" aria-label="Darkest value"></div>
      <div class="end" data-testid="viewer-bar-high" role="slider" tabindex="0" aria-label="Brightest value"></div>
    </div>
    <div class="ticks" aria-hidden="true"></div>
  </div>
  <div class="tools">
    <button type="button" data-testid="viewer-auto" aria-pressed="true"
      title="Contrast from 1 % to 99 % of the pixels, for each image anew">Auto</button>
    <button type="button" data-testid="viewer-marks" aria-pressed="false"
      title="Mark pixels that are too bright to be measured">Saturated</button>
    <select data-testid="viewer-colours" title="Colour map" aria-label="Colour map"></select>
  </div>
</div>`;

const CSS = `
:host { --ink: var(--so2cam-ink, #17202b); --paper: var(--so2cam-paper, #ffffff); --quiet: var(--so2cam-quiet, #4d5b6b);
  --line: var(--so2cam-line, #7d8a99); --accent: var(--so2cam-accent, #0b63c5); --warn: var(--so2cam-warn, #b3261e);
  --backdrop: var(--so2cam-backdrop, #dfe4ea);
  display: flex; flex-direction: column; min-width: 0; color: var(--ink); background: var(--paper);
  font: 13px/1.35 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; font-variant-numeric: tabular-nums; }
@media (prefers-color-scheme: dark) { :host(:not([theme="light"])) { --ink: var(--so2cam-ink, #e4e9ef);
  --paper: var(--so2cam-paper, #12171e); --quiet: var(--so2cam-quiet, #a4b1bf); --line: var(--so2cam-line, #77859a);
  --accent: var(--so2cam-accent, #6db3ff); --warn: var(--so2cam-warn, #ff8a80); --backdrop: var(--so2cam-backdrop, #0a0d12); } }
:host([theme="dark"]) { --ink: var(--so2cam-ink, #e4e9ef); --paper: var(--so2cam-paper, #12171e);
  --quiet: var(--so2cam-quiet, #a4b1bf); --line: var(--so2cam-line, #77859a); --accent: var(--so2cam-accent, #6db3ff);
  --warn: var(--so2cam-warn, #ff8a80); --backdrop: var(--so2cam-backdrop, #0a0d12); }
:host([hidden]), [hidden] { display: none !important; }
* { box-sizing: border-box; }
.stage { position: relative; flex: 1 1 auto; min-height: 0; aspect-ratio: var(--aspect, 4 / 3); overflow: hidden;
  background: var(--backdrop); touch-action: pan-y; cursor: crosshair; user-select: none; -webkit-user-select: none; }
.stage.zoomed { touch-action: none; cursor: grab; }
.stage.zoomed:active { cursor: grabbing; }
.stage.drawing { touch-action: none; cursor: crosshair; }
.stage:focus-visible { outline: 3px solid var(--accent); outline-offset: -3px; }
.stage > canvas, .stage > svg { position: absolute; inset: 0; width: 100%; height: 100%; display: block; }
.stage.lost > canvas { filter: grayscale(1); opacity: 0.45; }
.stage.stale > canvas { filter: saturate(0.5); opacity: 0.8; }
.stage > svg { overflow: visible; pointer-events: none; }
.chip { position: absolute; padding: 3px 8px; border-radius: 4px; color: #ffffff; background: rgb(10 14 20 / 82%);
  pointer-events: none; max-width: calc(100% - 16px); overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.notes { position: absolute; left: 8px; top: 8px; max-width: calc(100% - 64px); display: flex; flex-direction: column; gap: 6px;
  align-items: flex-start; pointer-events: none; }
.notes .chip { position: static; max-width: 100%; white-space: normal; }
.top { display: flex; flex-wrap: wrap; column-gap: 8px; pointer-events: auto; cursor: default; }
.top b { font-weight: 600; }
.top b:empty { display: none; }
.top time { white-space: nowrap; }
.badge { background: #ffd23f; color: #1d1600; font-weight: 600; }
.bottom { left: 8px; bottom: 8px; }
.hint { left: 50%; bottom: 40px; transform: translateX(-50%); white-space: normal; text-align: center; width: max-content; }
.overlay { position: absolute; left: 50%; top: 50%; transform: translate(-50%, -50%); padding: 10px 16px; border-radius: 6px;
  text-align: center; font-weight: 600; color: #ffffff; background: rgb(10 14 20 / 88%); pointer-events: none;
  max-width: calc(100% - 32px); width: max-content; border: 1px solid rgb(255 255 255 / 35%); }
.overlay.lost { background: #8f1d15; }
.buttons { position: absolute; right: 8px; top: 8px; display: flex; flex-direction: column; gap: 1px; border-radius: 6px;
  overflow: hidden; opacity: 0.92; }
.buttons button { width: 34px; height: 34px; border: 0; padding: 9px; background: rgb(10 14 20 / 82%); color: #ffffff;
  cursor: pointer; border-radius: 0; }
.buttons button:hover { background: #2b3542; }
.buttons button svg { display: block; width: 16px; height: 16px; fill: none; stroke: currentcolor; stroke-width: 1.8; }
button:focus-visible, select:focus-visible, .end:focus-visible { outline: 3px solid var(--accent); outline-offset: 1px; }
.buttons button:focus-visible { outline: 2px solid #ffffff; outline-offset: -4px; }
.rename { position: absolute; width: 150px; font: inherit; padding: 4px 6px; border: 2px solid var(--accent); border-radius: 4px;
  color: var(--ink); background: var(--paper); }
.legend { display: flex; flex-wrap: wrap; gap: 2px 12px; align-items: flex-start; padding: 8px 12px 6px; }
.bar { flex: 1 1 220px; min-width: 0; padding: 0 6px; }
.track { position: relative; height: 16px; cursor: ew-resize; touch-action: none; color: var(--quiet); }
:host([histogram]) .track { height: 46px; }
.track canvas { position: absolute; inset: 0; width: 100%; height: 100%; }
.end { position: absolute; top: -3px; bottom: -3px; width: 8px; margin-left: -4px; border-radius: 3px; background: var(--paper);
  border: 2px solid var(--ink); }
.end::before { content: ""; position: absolute; inset: -6px -10px; }
.ticks { position: relative; height: 20px; margin-top: 4px; color: var(--quiet); overflow: visible; }
.ticks span { position: absolute; transform: translateX(-50%); white-space: nowrap; font-size: 12px; }
.ticks span::before { content: ""; position: absolute; left: 50%; top: -3px; height: 4px; border-left: 1px solid var(--quiet); }
.ticks b { position: absolute; right: -6px; top: 0; font-weight: 600; font-size: 12px; color: var(--ink); background: var(--paper);
  padding-left: 6px; }
.tools { display: flex; gap: 6px; align-items: center; margin-top: -4px; flex: 0 0 auto; }
.tools button, .tools select { font: inherit; color: var(--ink); background: var(--paper); border: 1px solid var(--line);
  border-radius: 5px; height: 30px; padding: 0 9px; cursor: pointer; }
.tools button[aria-pressed="true"] { background: var(--ink); color: var(--paper); border-color: var(--ink); }
:host([compact]) .buttons, :host([compact]) .tools { display: none; }
:host([bare]) .legend { display: none; }
@media (pointer: coarse) { .tools button, .tools select { height: 40px; } .buttons button { width: 44px; height: 44px; padding: 14px; }
  .reach { r: 22px; } .shape .hit { stroke-width: 30px; } .end { width: 12px; margin-left: -6px; top: -6px; bottom: -6px; }
  .tools { margin-top: 0; } }
.shape { --use: var(--colour, #4ad9ff); pointer-events: auto; outline: none; cursor: move; }
.shape.fixed { cursor: pointer; }
.shape.crowded { display: none; }
.stage.drawing .shape { pointer-events: none; }
.shape path, .sketch { fill: none; stroke-linejoin: round; stroke-linecap: round; }
.halo { stroke: rgb(0 0 0 / 75%); stroke-width: 4.5px; }
.shape .ink { stroke: var(--use); stroke-width: 2px; }
.shape.dashed .ink { stroke-dasharray: 7 5; stroke-linecap: butt; }
.shape .hit { stroke: transparent; stroke-width: 16px; pointer-events: stroke; }
.shape .arrow { stroke: var(--use); stroke-width: 2px; pointer-events: none; }
.shape.selected .ink, .shape:focus-visible .ink { stroke-width: 3px; }
.shape.selected .halo { stroke-width: 6.5px; }
.shape:focus-visible .halo { stroke: #ffffff; stroke-width: 8px; }
.shape .name { fill: #ffffff; stroke: rgb(0 0 0 / 85%); stroke-width: 3.5px; paint-order: stroke; stroke-linejoin: round;
  font-weight: 600; pointer-events: auto; }
.handle { cursor: grab; outline: none; }
.handle .reach { fill: transparent; }
.handle .dot { fill: var(--use); stroke: rgb(0 0 0 / 85%); stroke-width: 1.5px; opacity: 0; }
.shape:hover .dot, .shape.selected .dot, .shape:focus-within .dot { opacity: 1; }
.handle:focus-visible .dot { stroke: #ffffff; stroke-width: 3px; }
.vectors path { fill: none; stroke-linejoin: round; stroke-linecap: round; }
.vectors .halo { stroke-width: 3.5px; }
.vectors .ink { stroke: #ffffff; stroke-width: 1.4px; }
.sketch.ink { stroke: #4ad9ff; stroke-width: 2px; stroke-dasharray: 6 4; }
.sketch.dots { stroke: #4ad9ff; stroke-width: 9px; }
@media (prefers-reduced-motion: no-preference) { .stage > canvas { transition: opacity 0.2s; } }`;

let sheet = null;

/** Fill a shadow root with the viewer's elements and style. */
export function furnish(root) {
  if (sheet === null) {
    sheet = new CSSStyleSheet();
    sheet.replaceSync(CSS);
  }
  root.adoptedStyleSheets = [sheet];
  root.innerHTML = HTML;
}
