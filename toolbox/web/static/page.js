// The page: open photographs, one of which is shown; its settings; restoring; saving.

import * as api from "./api.js";
import { Stage } from "./stage.js";
import * as texts from "./texts.js";

const { text } = texts;
const $ = (id) => document.getElementById(id);
const POLL = 400; // milliseconds
let photos = [];
let current = null;
let polling = null;
let started = 0;
let maskSaved = Promise.resolve();

const stage = new Stage(() => {
  buttons();
  saveMaskToServer();
});

function say(line, isError = false) {
  $("status").textContent = line;
  $("status").classList.toggle("error", isError);
}

function fail(error) {
  say(error.status === 403 ? text("lostToken") : error.message, true);
}

async function guarded(work) {
  try {
    return await work();
  } catch (error) {
    fail(error);
    return null;
  }
}

const entry = () => photos.find((one) => one.id === current);

function replaceEntry(changed) {
  photos = photos.map((one) => (one.id === changed.id ? changed : one));
}

async function openFiles(files) {
  for (const file of files) {
    const name = file.name || "photo.png";
    say(text("opening", { name }));
    try {
      const added = await api.add(file, name);
      photos.push(added);
      listPhotos();
      if (photos.length === 1 || files.length === 1) await show(added.id);
      say(text("opened", { name }));
    } catch (error) {
      if (error.status === 403) return fail(error);
      say(text("failedOpen", { name, reason: error.message }), true);
    }
  }
}

async function bitmap(id, what) {
  return createImageBitmap(await api.picture(id, what), { colorSpaceConversion: "none" });
}

async function show(id) {
  await maskSaved;
  current = id;
  const [photo, mask] = await Promise.all([bitmap(id, "view"), bitmap(id, "mask")]);
  if (current !== id) return;
  $("drop").hidden = true;
  $("work").hidden = false;
  stage.show(photo, mask);
  $("tone-row").hidden = entry().kind !== "toned";
  $("recolor-row").hidden = entry().kind !== "colour";
  $("tone").checked = entry().settings.keep_tone ?? false;
  $("recolor").checked = entry().settings.keep === "luma";
  for (const name of ["fill", "saturation"]) {
    if (entry().settings[name] !== undefined) $(name).value = entry().settings[name];
  }
  await showResult();
  listPhotos();
  if (["waiting", "running"].includes(entry().state)) poll();
}

async function showResult() {
  const id = current;
  const isRestored = entry().state === "restored";
  let picture = null;
  if (isRestored) {
    const { blob, type } = await api.resultFile(id);
    // Browsers show no TIFF; such a result can be saved, but not compared.
    if (!type.includes("tif")) picture = await createImageBitmap(blob, { colorSpaceConversion: "none" });
  }
  if (current !== id) return;
  stage.showResult(picture);
  $("compare-row").hidden = !picture;
  $("compare").value = 0;
  stage.compare(0);
  if (picture) $("show-mask").checked = false;
  toggleMask();
  facts();
  buttons();
}

function facts() {
  const one = entry();
  const lost = (100 * one.lost).toLocaleString(document.documentElement.lang, { maximumFractionDigits: 2 });
  const lines = [text("facts", { ...one, kind: text(one.kind), lost })];
  if (!one.lost) lines.push(text("noMarks"));
  if (["restored", "waiting", "running"].includes(one.state)) lines.push(text(one.state));
  if (["unchanged", "failed"].includes(one.state)) lines.push(text(one.state, one));
  lines.push(...one.notes);
  $("facts").textContent = lines.join(" ");
}

function buttons() {
  const one = entry();
  const isBusy = one && ["waiting", "running"].includes(one.state);
  $("undo").disabled = !stage.done.length;
  $("redo").disabled = !stage.undone.length;
  $("save").disabled = !one || one.state !== "restored";
  $("restore").disabled = isBusy;
  $("cancel").hidden = !(one && one.state === "waiting");
  const index = photos.indexOf(one);
  $("previous").disabled = index <= 0;
  $("next").disabled = index < 0 || index === photos.length - 1;
}

function listPhotos() {
  $("album").hidden = photos.length < 2;
  $("photos").replaceChildren(...photos.map((one) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    const marks = { restored: "✓ ", failed: "! ", running: "… ", waiting: "… " };
    button.textContent = (marks[one.state] || "") + one.name;
    button.addEventListener("click", () => guarded(() => show(one.id)));
    item.append(button);
    if (one.id === current) item.setAttribute("aria-current", "true");
    return item;
  }));
}

// Each change of the marks is kept by the server at once, so that a reload loses nothing.
function saveMaskToServer() {
  const id = current;
  maskSaved = maskSaved.then(async () => {
    const changed = await api.setMask(id, await stage.maskPng());
    replaceEntry(changed);
    if (current === id) facts();
  }).catch(fail);
}

function settings(one) {
  const chosen = { keep_tone: $("tone").checked && one.kind === "toned" };
  if ($("recolor").checked && one.kind === "colour") chosen.keep = "luma";
  if (!$("fill-row").hidden) chosen.fill = $("fill").value;
  if (!$("saturation-row").hidden) chosen.saturation = Number($("saturation").value);
  return chosen;
}

async function restore(ids) {
  await maskSaved;
  started = Date.now();
  for (const id of ids) replaceEntry(await api.restore(id, settings(photos.find((one) => one.id === id))));
  poll();
}

function poll() {
  if (polling) return;
  polling = setInterval(() => guarded(update), POLL);
  update();
}

async function update() {
  const before = entry();
  photos = await api.list();
  const busy = photos.filter((one) => ["waiting", "running"].includes(one.state)).length;
  const done = photos.filter((one) => ["restored", "unchanged", "failed"].includes(one.state)).length;
  if (!busy) {
    clearInterval(polling);
    polling = null;
  }
  $("progress").hidden = !busy;
  $("progress").value = done / (done + busy || 1);
  const minutes = done ? Math.ceil(((Date.now() - started) / done) * busy / 60000) : 0;
  $("progress-text").textContent = busy && done ? text("left", { done, total: done + busy, time: `${minutes} min` }) : "";
  listPhotos();
  if (!entry()) return;
  if (before && before.state !== entry().state) {
    await showResult();
    say(text(entry().state, entry()), entry().state === "failed");
  }
  facts();
  buttons();
}

function toggleMask() {
  $("mask").hidden = !$("show-mask").checked;
}

function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  say(text("saved", { name }));
}

const stem = () => entry().name.replace(/\.[^.]*$/, "") || "photo";

async function save() {
  const { blob, type } = await api.resultFile(current);
  download(blob, `${stem()}-restored.${type.includes("tif") ? "tif" : "png"}`);
}

async function closePhoto() {
  await maskSaved;
  const index = photos.findIndex((one) => one.id === current);
  await api.remove(current);
  photos = photos.filter((one) => one.id !== current);
  current = null;
  const next = photos[Math.min(index, photos.length - 1)];
  if (next) return show(next.id);
  $("work").hidden = true;
  $("drop").hidden = false;
  listPhotos();
  $("open").focus();
}

function choose(tool) {
  stage.setTool(tool);
  for (const one of document.querySelectorAll("[data-tool]")) one.setAttribute("aria-pressed", one.dataset.tool === tool);
  if (tool !== "move") {
    $("show-mask").checked = true;
    toggleMask();
  }
}

function resize(factor) {
  $("size").value = Math.round(Math.min(200, Math.max(1, stage.size * factor + (factor > 1 ? 1 : -1))));
  $("size").dispatchEvent(new Event("input"));
}

function step(by) {
  const index = photos.findIndex((one) => one.id === current) + by;
  if (photos[index]) guarded(() => show(photos[index].id));
}

function shortcut(event) {
  if (!current || event.target.matches("select, input:not([type=range]):not([type=checkbox])")) return;
  const control = event.ctrlKey || event.metaKey;
  const key = event.key.toLowerCase();
  const actions = control
    ? { z: () => (event.shiftKey ? stage.redo() : stage.undo()), y: () => stage.redo() }
    : {
      b: () => choose("brush"), e: () => choose("eraser"), l: () => choose("lasso"), m: () => choose("move"),
      "[": () => resize(1 / 1.25), "]": () => resize(1.25), "+": () => stage.zoom(1.25), "-": () => stage.zoom(0.8),
    };
  if (!actions[key]) return;
  event.preventDefault();
  actions[key]();
}

function listen() {
  const click = (id, work) => $(id).addEventListener("click", () => guarded(async () => work()));
  click("open", () => $("files").click());
  $("files").addEventListener("change", () => { openFiles([...$("files").files]); $("files").value = ""; });
  click("restore", () => restore([current]));
  click("restore-all", () => restore(photos.map((one) => one.id)));
  click("cancel", async () => { replaceEntry(await api.cancel(current)); await update(); });
  click("undo", () => stage.undo());
  click("redo", () => stage.redo());
  click("clear", () => stage.clear());
  click("zoom-in", () => stage.zoom(1.25));
  click("zoom-out", () => stage.zoom(0.8));
  click("fit", () => stage.fit());
  click("save", save);
  click("save-mask", async () => download(await stage.maskPng(), `${stem()}-marks.png`));
  click("load-mask", () => $("mask-file").click());
  $("mask-file").addEventListener("change", () => guarded(async () => {
    const [file] = $("mask-file").files;
    $("mask-file").value = "";
    if (!file) return;
    replaceEntry(await api.setMask(current, file));
    stage.remember();
    stage.loadMask(await bitmap(current, "mask"));
    facts();
    buttons();
  }));
  click("previous", () => step(-1));
  click("next", () => step(1));
  click("close", closePhoto);
  $("show-mask").addEventListener("change", toggleMask);
  $("compare").addEventListener("input", () => stage.compare($("compare").value));
  $("size").addEventListener("input", () => { stage.size = Number($("size").value); stage.moveCursor(); });
  for (const one of document.querySelectorAll("[data-tool]")) one.addEventListener("click", () => choose(one.dataset.tool));
  $("language").addEventListener("change", () => guarded(async () => {
    localStorage.setItem("toolbox-language", $("language").value);
    await texts.load($("language").value);
    if (current) facts();
  }));
  document.addEventListener("keydown", shortcut);
  document.addEventListener("paste", (event) => openFiles([...event.clipboardData.files]));
  document.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dragging"); });
  document.addEventListener("dragleave", () => document.body.classList.remove("dragging"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dragging");
    openFiles([...event.dataTransfer.files]);
  });
}

function offer(id, values) {
  $(`${id}-row`).hidden = !values;
  $(id).replaceChildren(...(values || []).map((value) => new Option(String(value), String(value))));
}

async function start() {
  const wanted = localStorage.getItem("toolbox-language") || navigator.language.slice(0, 2);
  $("language").value = wanted === "ko" ? "ko" : "en";
  await texts.load($("language").value);
  listen();
  api.readToken();
  choose("move");
  await guarded(async () => {
    const { settings: offered } = await api.choices();
    offer("fill", offered.fill);
    offer("saturation", offered.saturation);
    $("saturation").value = "1";
    photos = await api.list();
    say(text("ready"));
    listPhotos();
    if (photos.length) await show(photos[0].id);
    if (photos.some((one) => ["waiting", "running"].includes(one.state))) poll();
  });
}

start();
