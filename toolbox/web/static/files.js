// Files that come in, by dropping, pasting or choosing, and files that are saved.

import * as api from "./api.js";
import * as dropping from "./dropping.js";
import * as keeping from "./keeping.js";
import { setReference, settle } from "./restoring.js";
import { stage } from "./stage.js";
import { $, fail, guarded, isBusy, photo, reasonOf, reasonOfFile, say, setPhotos, state } from "./state.js";
import { text } from "./texts.js";
import { listPhotos, refresh, show } from "./viewer.js";

let batches = 0; // of files that are being opened
let failed = []; // what of them could not be opened

async function open(files) {
  if (!files.length) return;
  if (!batches) failed = [];
  batches += 1;
  for (const file of files) {
    const name = file.name || "photo.png";
    say(text("opening", { name }));
    try {
      const added = await api.add(file, name);
      // A list that was asked for meanwhile may have it already.
      setPhotos([...state.photos.filter((item) => item.id !== added.id), added]);
      listPhotos();
      refresh();
      if (state.photos.length === 1 || files.length === 1) await show(added.id);
    } catch (error) {
      fail(error);
      if (state.isRefused) failed = [reasonOf(error)];
      else failed.push(reasonOfFile(error, name));
    }
    if (state.isRefused) break;
  }
  batches -= 1;
  if (!batches) say(failed.join(" "), failed.length > 0);
}

// Open what was dropped, and say what of its folders is not opened.
async function openDropped(transfer) {
  const { files, leftOut, unreadable } = await dropping.read(transfer);
  await open(files);
  const lines = unreadable.map((name) => text("failedOpen", { name, reason: text("unreadable") }));
  if (leftOut) lines.push(text("leftOut", { count: leftOut }));
  if (lines.length) say([$("status").textContent, ...lines].filter(Boolean).join(" "), failed.length > 0 || unreadable.length > 0);
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  say(text("saved", { name }));
}

const stem = (item) => item.name.replace(/\.[^.]*$/, "") || "photo";

export async function saveResult() {
  if (state.isAhead || isBusy(photo())) say(text("finishing"));
  const item = await settle();
  if (item?.state !== "restored") return; // the page says why
  const { blob, type } = await api.resultFile(item.id);
  save(blob, `${stem(item)}-restored.${type.includes("tif") ? "tif" : "png"}`);
}

// The marks, with the edge of the damage that is repaired. If the server can't be asked, the marks as the page has them.
export async function saveMarks() {
  const item = photo();
  const own = stage.maskPng();
  const filled = keeping.send(item.id).then(() => api.picture(item.id, "mask"));
  save(await filled.catch(() => own), `${stem(item)}-marks.png`);
}

// Call `work` with the files that a person chooses with a button.
export function onChoose(button, input, work) {
  $(button).addEventListener("click", () => $(input).click());
  $(input).addEventListener("change", () => {
    const files = [...$(input).files];
    $(input).value = "";
    guarded(() => work(files));
  });
}

export function listen() {
  onChoose("open", "files", open);
  $("open-first").addEventListener("click", () => $("files").click());
  document.addEventListener("paste", (event) => open([...event.clipboardData.files]));
  document.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dragging"); });
  document.addEventListener("dragleave", () => document.body.classList.remove("dragging"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dragging");
    const files = [...event.dataTransfer.files];
    if (state.id && event.target.closest?.("#reference")) guarded(() => setReference(files[0]));
    else guarded(() => openDropped(event.dataTransfer));
  });
}
