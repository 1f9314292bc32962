// Changes of the photograph that is shown, which the server keeps, and its restoration.

import * as album from "./album.js";
import * as api from "./api.js";
import * as panel from "./panel.js";
import * as proposals from "./proposals.js";
import { stage } from "./stage.js";
import { $, guarded, isBusy, isShown, photo, replacePhoto, say, state } from "./state.js";
import { text } from "./texts.js";
import { listPhotos, noteText, refresh, showResult } from "./viewer.js";

const POLL = 200; // milliseconds
const PAUSE = 300; // milliseconds after the last change, before the photograph is restored again
const LONG_PAUSE = 1000; // the same, if its colours are shown already
let polling = null;
let again = null;
let mustWait = false; // whether the changes that the server does not know yet are of more than colours
let willFollow = false; // whether their result follows colours that are shown
let changes = 0; // of colours, since the page was opened

// Each change is kept by the server at once, so that a reload loses nothing. `work` gets the id of the photograph.
// Return the changed photograph, or null if the change was refused; the page says why.
export function keep(work) {
  const { id } = state;
  state.saved = state.saved.then(() => guarded(async () => {
    const changed = await work(id);
    replacePhoto(changed);
    if (isShown(id)) refresh();
    return changed;
  }));
  return state.saved;
}

// The server gets each change as it is now, in this order: what it knows at this time may be older.
export function keepLayers(layers) {
  if (layers.includes(stage.marks)) {
    state.hasNewMarks = true;
    state.isCancelled = false;
    say("");
    const marks = stage.marksPng();
    keep(async (id) => api.setMarks(id, await marks));
    proposals.followMarks();
  }
  refresh();
  if (!layers.includes(stage.strokes)) return;
  const strokes = stage.strokes.isEmpty ? null : stage.strokes.png();
  panel.followStrokes(strokes !== null);
  recolour();
  keep(async (id) => (strokes ? api.setHints(id, await strokes) : api.removeHints(id)));
}

// The result follows a change of the settings. Marks need the Restore button: filling takes longer.
// `shows`: the colours of the change are shown at once, at a small size.
// `follows`: it changes colours alone, so that a person who sees them need not wait for the full result.
export function restoreAgain({ shows = false, follows = false } = {}) {
  const { id } = state;
  if (photo().state === "new" && !state.asked.has(id)) return panel.keepSettings(photo());
  clearTimeout(again);
  changes += 1;
  const change = changes;
  const isLast = () => change === changes && isShown(id);
  state.isAhead = true;
  mustWait ||= !follows;
  willFollow = false;
  guarded(async () => {
    const isSeen = shows && await showColours(id, isLast);
    if (isLast()) willFollow = isSeen && !mustWait;
    await state.saved;
    if (isLast()) again = setTimeout(() => isLast() && guarded(finishColours), willFollow ? LONG_PAUSE : PAUSE);
  });
}

// Strokes, the strength of colours, or another colouring changed.
export const recolour = () => restoreAgain({ shows: true, follows: true });

// Return whether the colours are shown.
async function showColours(id, isLast) {
  if (stage.hasCut || stage.restored.hidden || !photo().origins["colour from network"]) return false;
  try {
    const strokes = await stage.strokes.smallPng(panel.strokePixels());
    const picture = await api.decode(await api.quick(id, panel.settings(photo()), strokes));
    if (isLast()) stage.tint(picture);
    return true;
  } catch (error) {
    if (!error.status) throw error; // the full result says what is wrong
    return false;
  }
}

// Ask for the full result of the last change, without a pause.
export async function finishColours() {
  if (state.isAhead) await restore([state.id], willFollow);
}

// Ask for the full result of the last change, and wait for it; return the photograph.
export async function settle() {
  const { id } = state;
  const current = () => state.photos.find((item) => item.id === id);
  await finishColours();
  while (polling && isBusy(current())) await new Promise((resolve) => { setTimeout(resolve, POLL); });
  return current();
}

// Mark the damage that was proposed, and restore the photograph with it.
export function repair() {
  stage.markDamage(proposals.forEachChosen);
  proposals.clear();
  proposals.settle(state.id);
  return restore([state.id]);
}

// `follows`: the colours are shown already, so the page does not wait for the result.
export async function restore(ids, follows = false) {
  clearTimeout(again);
  changes += 1;
  const change = changes;
  state.asked = new Set(ids);
  state.following = follows && !state.hasNewMarks ? ids[0] : null;
  refresh();
  try {
    await state.saved;
    state.hasNewMarks = state.isCancelled = false;
    if (!follows) album.begin(ids.length);
    for (const id of ids) {
      const item = state.photos.find((candidate) => candidate.id === id);
      replacePhoto(await api.restore(id, panel.settings(item)));
      if (isShown(id) && change === changes) state.isAhead = mustWait = false;
    }
  } finally {
    state.asked.clear();
    refresh();
  }
  say("");
  poll();
}

// The server ends a restoration after the current step. The last photographs come first, so that none begins meanwhile.
export async function cancel(photos) {
  clearTimeout(again);
  changes += 1;
  state.isAhead = mustWait = false;
  const ids = photos.filter(isBusy).map((item) => item.id);
  for (const id of ids) state.ending.add(id);
  refresh();
  for (const id of [...ids].reverse()) replacePhoto(await api.cancel(id));
  await update();
  poll();
}

// Follow the photographs that wait or are restored.
export function poll() {
  if (polling) return;
  polling = setInterval(() => guarded(update), POLL);
  update();
}

async function update() {
  const before = photo();
  try {
    state.photos = await api.list();
  } catch (error) {
    stopPolling();
    throw error;
  }
  album.showProgress(state.photos);
  if (!state.photos.some(isBusy)) stopPolling();
  listPhotos();
  const now = photo();
  for (const item of state.photos) if (item !== now && !isBusy(item)) state.ending.delete(item.id);
  if (!now) return;
  const hasEnded = !isBusy(now) && state.ending.delete(now.id);
  const isNew = before && before.state !== now.state && !isBusy(now);
  // A result that lacks the colours that are shown is not shown: another one follows.
  if (hasEnded || (isNew && !state.isAhead)) await showResult(hasEnded);
  else refresh();
}

function stopPolling() {
  clearInterval(polling);
  polling = null;
}

export async function setReference(file) {
  if (!file) return;
  say(text("opening", { name: file.name }));
  if (!await keep((id) => api.setReference(id, file))) return;
  await panel.showReference(photo());
  say(text("referenceOpened"));
  restoreAgain({ shows: true });
}

export async function removeReference() {
  if (!await keep(api.removeReference)) return;
  await panel.showReference(photo());
  $("add-reference").focus();
  restoreAgain({ shows: true });
}

export async function setMask(file) {
  if (!file) return;
  const { id } = state;
  const changed = await keep(() => api.setMask(id, file));
  if (!changed) return;
  const marks = await api.bitmap(id, "marks");
  if (!isShown(id)) return;
  state.hasNewMarks = true;
  stage.loadMarks(marks);
  proposals.followMarks();
  refresh();
  say(changed.cautions.map(noteText).join(" "));
}
