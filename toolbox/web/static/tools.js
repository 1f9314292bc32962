// The tools over the photograph, and their keys.

import { stage } from "./stage.js";
import { $ } from "./state.js";

const on = (id, work) => $(id).addEventListener("click", work);
const buttons = () => document.querySelectorAll("#tools [data-tool]");
let isOpen = () => false;

export function toggleLayers() {
  $("mask").hidden = !$("show-mask").checked;
  $("strokes").hidden = !$("show-strokes").checked;
  $("proposals").hidden = !$("show-proposals").checked;
}

export function choose(tool) {
  stage.setTool(tool);
  for (const button of buttons()) button.setAttribute("aria-pressed", button.dataset.tool === tool);
  // An unused slider keeps its space, so that the photograph does not move.
  $("size-row").classList.toggle("unused", ["move", "lasso"].includes(tool));
  $("palette-row").hidden = tool !== "colour";
  if (tool === "colour") $("colours").open = true;
  if (tool === "colour" || tool === "eraser") $("show-strokes").checked = true;
  if (!["move", "colour"].includes(tool)) $("show-mask").checked = true;
  toggleLayers();
}

function resize(factor) {
  setSize(stage.size * factor + (factor > 1 ? 1 : -1));
}

function setSize(pixels) {
  $("size").value = Math.round(Math.min($("size").max, Math.max(1, pixels)));
  stage.size = Number($("size").value);
  stage.moveCursor();
}

// The brush of a photograph that was just opened.
export function fitSize() {
  setSize(Math.max(6, Math.min(stage.photo.width, stage.photo.height) / 40));
}

function shortcut(event) {
  if (!isOpen() || event.target.matches("select, input:not([type=range]):not([type=checkbox]):not([type=color])")) return;
  const control = event.ctrlKey || event.metaKey;
  const key = event.key.toLowerCase();
  const actions = control
    ? { z: () => (event.shiftKey ? stage.redo() : stage.undo()), y: () => stage.redo() }
    : {
      b: () => choose("brush"), e: () => choose("eraser"), l: () => choose("lasso"), c: () => choose("colour"), m: () => choose("move"),
      "[": () => resize(1 / 1.25), "]": () => resize(1.25), "+": () => stage.zoom(1.25), "-": () => stage.zoom(0.8),
    };
  if (!actions[key]) return;
  event.preventDefault();
  actions[key]();
}

// `open` returns whether a photograph is open.
export function listen(open) {
  isOpen = open;
  on("zoom-in", () => stage.zoom(1.25));
  on("zoom-out", () => stage.zoom(0.8));
  on("fit", () => stage.fit());
  on("undo", () => stage.undo());
  on("redo", () => stage.redo());
  for (const id of ["show-mask", "show-strokes", "show-proposals"]) $(id).addEventListener("change", toggleLayers);
  $("size").addEventListener("input", () => setSize(Number($("size").value)));
  for (const button of buttons()) button.addEventListener("click", () => choose(button.dataset.tool));
  document.addEventListener("keydown", shortcut);
  choose("move");
}
