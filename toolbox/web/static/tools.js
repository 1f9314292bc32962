// The tools over the photograph, and their keys.

const $ = (id) => document.getElementById(id);
const on = (id, work) => $(id).addEventListener("click", work);
let stage = null;
let isOpen = () => false;

export function toggleLayers() {
  $("mask").hidden = !$("show-mask").checked;
  $("strokes").hidden = !$("show-strokes").checked;
  $("proposals").hidden = !$("show-proposals").checked;
}

export function choose(tool) {
  stage.setTool(tool);
  for (const one of document.querySelectorAll("#tools [data-tool]")) one.setAttribute("aria-pressed", one.dataset.tool === tool);
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

// `open` tells whether a photograph is open.
export function listen(theStage, open) {
  stage = theStage;
  isOpen = open;
  on("zoom-in", () => stage.zoom(1.25));
  on("zoom-out", () => stage.zoom(0.8));
  on("fit", () => stage.fit());
  on("undo", () => stage.undo());
  on("redo", () => stage.redo());
  for (const id of ["show-mask", "show-strokes", "show-proposals"]) $(id).addEventListener("change", toggleLayers);
  $("size").addEventListener("input", () => setSize(Number($("size").value)));
  for (const one of document.querySelectorAll("#tools [data-tool]")) one.addEventListener("click", () => choose(one.dataset.tool));
  document.addEventListener("keydown", shortcut);
  choose("move");
}
