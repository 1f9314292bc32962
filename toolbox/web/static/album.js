// The list of the open photographs, the progress of a batch, and files to save.

import * as api from "./api.js";
import { $, guarded, isAwaited } from "./state.js";
import { text } from "./texts.js";

const MARKS = { restored: "✓ ", failed: "! ", running: "… ", waiting: "… " };
const rows = new Map(); // the rows of the list, by the ids of their photographs
let started = 0;
let asked = 0; // photographs of the current batch

// List the photographs; `open` is called with the id of the one that is chosen.
export function list(photos, current, open) {
  $("album").hidden = photos.length < 2;
  const ids = new Set(photos.map((photo) => photo.id));
  for (const [id, row] of rows) {
    if (ids.has(id)) continue;
    row.item.remove();
    rows.delete(id);
  }
  for (const photo of photos) {
    if (!rows.has(photo.id)) rows.set(photo.id, makeRow(photo, open));
    const { item, name } = rows.get(photo.id);
    const label = (MARKS[photo.state] || "") + photo.name;
    if (name.textContent !== label) name.textContent = label;
    const isCurrent = photo.id === current;
    if (isCurrent === item.hasAttribute("aria-current")) continue;
    item.removeAttribute("aria-current");
    if (isCurrent) {
      item.setAttribute("aria-current", "true");
      item.scrollIntoView({ block: "nearest", inline: "nearest" });
    }
  }
}

function makeRow(photo, open) {
  const [item, button, picture, name] = ["li", "button", "img", "span"].map((tag) => document.createElement(tag));
  picture.alt = "";
  button.title = photo.name;
  button.addEventListener("click", () => open(photo.id));
  button.append(picture, name);
  item.append(button);
  $("photos").append(item);
  loadPicture(photo.id, picture);
  return { item, name, picture };
}

function loadPicture(id, picture) {
  guarded(async () => api.showBlob(picture, await api.picture(id, "small")));
}

// Load the small pictures that could not be loaded.
export function loadPictures() {
  for (const [id, { picture }] of rows) if (!picture.src) loadPicture(id, picture);
}

// A batch of `count` photographs begins.
export function begin(count) {
  started = Date.now();
  asked = count;
}

// Show the progress of the batch.
export function showProgress(photos) {
  const busy = photos.filter(isAwaited).length;
  asked = Math.max(asked, busy);
  const done = asked - busy;
  $("progress").hidden = $("cancel-all").hidden = !busy;
  $("progress").value = done / (asked || 1);
  const minutes = done ? Math.ceil(((Date.now() - started) / done) * busy / 60000) : 0;
  $("progress-text").textContent = busy && done ? text("left", { done, total: asked, minutes }) : "";
}
