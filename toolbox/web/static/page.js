// The page: open photographs, one of which is shown; its settings; restoring; saving.

import * as album from "./album.js";
import * as api from "./api.js";
import * as panel from "./panel.js";
import * as proposals from "./proposals.js";
import { Stage } from "./stage.js";
import * as texts from "./texts.js";
import * as tools from "./tools.js";

const { text } = texts;
const $ = (id) => document.getElementById(id);
const POLL = 200; // milliseconds
const PAUSE = 300; // milliseconds after the last change, before the photograph is restored again
let photos = [];
let current = null;
let polling = null;
let saved = Promise.resolve();
let again = null;

const stage = new Stage(saveLayers, offerColours, proposals.toggle);

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

const open = (id) => guarded(() => show(id));

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
      album.list(photos, current, open);
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
  await saved;
  clearTimeout(again);
  current = id;
  const pictures = [bitmap(id, "view"), bitmap(id, "mask"), entry().has_hints ? bitmap(id, "hints") : null];
  const [photo, mask, strokes] = await Promise.all(pictures);
  if (current !== id) return;
  $("drop").hidden = true;
  $("work").hidden = false;
  stage.show(photo, mask, strokes);
  proposals.clear();
  tools.fitSize();
  panel.showSettings(entry());
  panel.showPalette([], "", () => {});
  $("palette-help").hidden = false;
  await panel.showReference(entry());
  await showResult();
  album.list(photos, current, open);
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
  const isFirst = !picture || stage.restored.hidden;
  stage.showResult(picture);
  $("compare-row").hidden = !picture;
  if (isFirst) {
    $("compare").value = 0;
    $("show-mask").checked = !picture;
  }
  stage.compare($("compare").value);
  tools.toggleLayers();
  await panel.showOrigins(entry());
  // Damage is looked for once the colours are there.
  if (picture && proposals.isEmpty() && !entry().is_edited) guarded(() => proposals.look(id));
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
  $("undo").disabled = !stage.history.done.length;
  $("redo").disabled = !stage.history.undone.length;
  $("clear-strokes").hidden = $("strokes-row").hidden = !(one && one.has_hints);
  $("save").disabled = !one || one.state !== "restored";
  $("restore").disabled = isBusy;
  $("cancel").hidden = !(one && one.state === "waiting");
  const index = photos.indexOf(one);
  $("previous").disabled = index <= 0;
  $("next").disabled = index < 0 || index === photos.length - 1;
}

// Each change is kept by the server at once, so that a reload loses nothing.
function keep(work) {
  const id = current;
  saved = saved.then(async () => {
    replaceEntry(await work(id));
    if (current === id) {
      facts();
      buttons();
    }
  }).catch(fail);
  return saved;
}

function saveLayers(layers) {
  buttons();
  if (layers.includes(stage.marks)) keep(async (id) => api.setMask(id, await stage.maskPng()));
  if (!layers.includes(stage.strokes)) return;
  const { isEmpty } = stage.strokes;
  if (isEmpty && !entry().has_hints) return;
  if (!isEmpty) panel.wantColours();
  keep(async (id) => (stage.strokes.isEmpty ? api.removeHints(id) : api.setHints(id, await stage.strokes.png())));
  restoreAgain();
}

// Colours change quickly, so the result follows them. Marks need the Restore button: filling takes longer.
function restoreAgain() {
  if (entry().state === "new") return;
  const id = current;
  clearTimeout(again);
  again = setTimeout(() => guarded(async () => {
    await saved;
    if (current === id) await restore([id]);
  }), PAUSE);
}

// Mark the damage that was proposed, and restore the photograph with it.
function repair() {
  stage.changeMarks(proposals.addTo);
  proposals.clear();
  return restore([current]);
}

// Offer likely colours at the place where a stroke begins. The choice changes this stroke, too.
function offerColours(x, y) {
  if (x < 0 || x > 1 || y < 0 || y > 1) return;
  const id = current;
  guarded(async () => {
    const colours = await api.colours(id, x, y);
    if (current !== id) return;
    $("palette-help").hidden = true;
    panel.showPalette(colours, stage.colour, chooseColour);
  });
}

function chooseColour(colour) {
  stage.setColour(colour);
  panel.pressColour(colour);
}

async function setReference(file) {
  if (!file) return;
  say(text("opening", { name: file.name }));
  await keep((id) => api.setReference(id, file));
  await panel.showReference(entry());
  say(text(entry().reference ? "referenceOpened" : "ready"));
  restoreAgain();
}

async function restore(ids) {
  await saved;
  clearTimeout(again);
  album.begin(ids.length);
  for (const id of ids) replaceEntry(await api.restore(id, panel.settings(photos.find((one) => one.id === id))));
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
  if (!album.showProgress(photos)) {
    clearInterval(polling);
    polling = null;
  }
  album.list(photos, current, open);
  if (!entry()) return;
  if (before && before.state !== entry().state) {
    await showResult();
    say(text(entry().state, entry()), entry().state === "failed");
  }
  facts();
  buttons();
}

function saveAs(blob, name) {
  album.download(blob, name);
  say(text("saved", { name }));
}

const stem = () => entry().name.replace(/\.[^.]*$/, "") || "photo";

async function saveResult() {
  const { blob, type } = await api.resultFile(current);
  saveAs(blob, `${stem()}-restored.${type.includes("tif") ? "tif" : "png"}`);
}

async function closePhoto() {
  await saved;
  const index = photos.findIndex((one) => one.id === current);
  await api.remove(current);
  photos = photos.filter((one) => one.id !== current);
  current = null;
  const next = photos[Math.min(index, photos.length - 1)];
  if (next) return show(next.id);
  $("work").hidden = true;
  $("drop").hidden = false;
  album.list(photos, current, open);
  $("open").focus();
}

function step(by) {
  const index = photos.findIndex((one) => one.id === current) + by;
  if (photos[index]) guarded(() => show(photos[index].id));
}

function listen() {
  const click = (id, work) => $(id).addEventListener("click", () => guarded(async () => work()));
  click("open", () => $("files").click());
  $("files").addEventListener("change", () => { openFiles([...$("files").files]); $("files").value = ""; });
  click("restore", () => restore([current]));
  click("restore-all", () => restore(photos.map((one) => one.id)));
  click("cancel", async () => { replaceEntry(await api.cancel(current)); await update(); });
  click("clear", () => stage.clear(stage.marks));
  click("clear-strokes", () => stage.clear(stage.strokes));
  click("repair", repair);
  $("sensitivity").addEventListener("change", () => guarded(() => proposals.look(current)));
  click("add-reference", () => $("reference-file").click());
  $("reference-file").addEventListener("change", () => {
    const [file] = $("reference-file").files;
    $("reference-file").value = "";
    guarded(() => setReference(file));
  });
  click("remove-reference", async () => {
    await keep(api.removeReference);
    await panel.showReference(entry());
    $("add-reference").focus();
    restoreAgain();
  });
  $("own-colour").addEventListener("input", () => chooseColour($("own-colour").value));
  click("save", saveResult);
  click("save-mask", async () => saveAs(await stage.maskPng(), `${stem()}-marks.png`));
  click("load-mask", () => $("mask-file").click());
  $("mask-file").addEventListener("change", () => guarded(async () => {
    const [file] = $("mask-file").files;
    $("mask-file").value = "";
    if (!file) return;
    await keep((id) => api.setMask(id, file));
    stage.loadMarks(await bitmap(current, "mask"));
    buttons();
  }));
  click("previous", () => step(-1));
  click("next", () => step(1));
  click("close", closePhoto);
  $("show-origin").addEventListener("change", () => guarded(() => panel.showOrigins(entry())));
  $("saturation").addEventListener("input", panel.showSaturation);
  for (const id of ["saturation", "fill", "tone", "recolor"]) $(id).addEventListener("change", restoreAgain);
  $("compare").addEventListener("input", () => stage.compare($("compare").value));
  $("language").addEventListener("change", () => guarded(async () => {
    localStorage.setItem("toolbox-language", $("language").value);
    await texts.load($("language").value);
    if (!current) return;
    facts();
    await panel.showOrigins(entry());
  }));
  document.addEventListener("paste", (event) => openFiles([...event.clipboardData.files]));
  document.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dragging"); });
  document.addEventListener("dragleave", () => document.body.classList.remove("dragging"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dragging");
    const files = [...event.dataTransfer.files];
    if (current && event.target.closest?.("#reference")) guarded(() => setReference(files[0]));
    else openFiles(files);
  });
}

async function start() {
  const wanted = localStorage.getItem("toolbox-language") || navigator.language.slice(0, 2);
  $("language").value = wanted === "ko" ? "ko" : "en";
  await texts.load($("language").value);
  listen();
  api.readToken();
  tools.listen(stage, () => Boolean(current));
  await guarded(async () => {
    const offered = await api.choices();
    panel.offer(offered);
    proposals.offer(offered);
    photos = await api.list();
    say(text("ready"));
    album.list(photos, current, open);
    if (photos.length) await show(photos[0].id);
    if (photos.some((one) => ["waiting", "running"].includes(one.state))) poll();
  });
}

start();
