// The list of the open photographs, the progress of a batch, and files to save.

import { text } from "./texts.js";

const $ = (id) => document.getElementById(id);
let started = 0;
let asked = 0; // photographs of the batch in hand

// List the photographs; `open` is called with the id of the one that is chosen.
export function list(photos, current, open) {
  $("album").hidden = photos.length < 2;
  $("photos").replaceChildren(...photos.map((one) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    const marks = { restored: "✓ ", failed: "! ", running: "… ", waiting: "… " };
    button.textContent = (marks[one.state] || "") + one.name;
    button.addEventListener("click", () => open(one.id));
    item.append(button);
    if (one.id === current) item.setAttribute("aria-current", "true");
    return item;
  }));
}

// A batch of so many photographs begins.
export function begin(count) {
  started = Date.now();
  asked = count;
}

// Show how far the batch is; return how many photographs wait or are restored.
export function showProgress(photos) {
  const busy = photos.filter((one) => ["waiting", "running"].includes(one.state)).length;
  asked = Math.max(asked, busy);
  const done = asked - busy;
  $("progress").hidden = !busy;
  $("progress").value = done / (asked || 1);
  const minutes = done ? Math.ceil(((Date.now() - started) / done) * busy / 60000) : 0;
  $("progress-text").textContent = busy && done ? text("left", { done, total: asked, time: `${minutes} min` }) : "";
  return busy;
}

// Let the browser save bytes as a file.
export function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}
