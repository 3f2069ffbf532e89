// What each part of the viewer may ask of the whole.

import { pathOf } from "./viewer-geometry.js";

export function shapesHost(viewer) {
  return {
    view: viewer.view_,
    layer: viewer.layer,
    get readonly() {
      return viewer.readonly;
    },
    get drawing() {
      return viewer.draw.kind !== null;
    },
    toPoint: (event) => viewer.toImage(event.clientX, event.clientY),
    emit: (name, detail) => viewer.emit(name, detail),
    soon: (name, detail) => viewer.soon(name, detail),
    rename: ({ id, name, points }) =>
      viewer.labels.rename(name, viewer.view_.toStage(...points[0]), (typed) => viewer.shapes_.setName(id, typed)),
  };
}

export function drawHost(viewer) {
  return {
    view: viewer.view_,
    toPoint: (event) => viewer.toImage(event.clientX, event.clientY),
    toStagePoint: (event) => viewer.gestures.place(event),
    preview: (shape) => {
      const place = (x, y) => viewer.view_.toStage(x, y);
      const [halo, ink, dots] = viewer.sketch;
      for (const each of [halo, ink]) each.setAttribute("d", shape ? pathOf(shape, place) : "");
      const ends = shape ? shape.points.map((point) => place(...point)) : [];
      dots.setAttribute("d", ends.map(([x, y]) => `M${x} ${y}h0`).join(""));
    },
    created: (shape) => {
      viewer.setTool("pan");
      viewer.shapes_.put(shape);
      viewer.emit("shape-created", { shape: structuredClone(shape) });
      viewer.shapes_.select(shape.id);
      viewer.shapes_.nodes.get(shape.id)?.group.focus({ preventScroll: true });
    },
    newShape: (kind) => {
      const taken = (name) => viewer.shapes_.list.some((shape) => shape.id === name || shape.name === name);
      let number = 1;
      while (taken(`${kind}-${number}`)) number += 1;
      return { id: `${kind}-${number}`, name: `${kind}-${number}`, kind };
    },
    leave: () => viewer.setTool("pan"),
  };
}

export function gesturesHost(viewer) {
  return {
    stage: viewer.stage,
    view: viewer.view_,
    draw: viewer.draw,
    viewChanged: () => viewer.viewChanged(),
    hover: (event) => viewer.hover(event),
    click: (event) => {
      viewer.hover(event);
      viewer.shapes_.select(null);
      const at = viewer.toImage(event.clientX, event.clientY);
      const found = viewer.valueAt(...at);
      if (found) viewer.emit("image-click", { ...found, at });
    },
  };
}
