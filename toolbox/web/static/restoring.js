// Changes of the photograph that is shown, and its restoration.

import * as album from "./album.js";
import * as api from "./api.js";
import * as keeping from "./keeping.js";
import * as panel from "./panel.js";
import * as proposals from "./proposals.js";
import { stage } from "./stage.js";
import {
  $, fail, guarded, isBusy, isShown, photo, replacePhoto, say, setPhotos, state, unsay,
} from "./state.js";
import { text } from "./texts.js";
import { catchUp, isBehind, listPhotos, refresh, show, showResult } from "./viewer.js";

const POLL = 200; // milliseconds
const RETRY = 2000; // the same, after a request that failed
const PAUSE = 300; // milliseconds after the last change, before the photograph is restored again
const LONG_PAUSE = 1000; // the same, if its colours are shown already
let isPolling = false;
let again = null;
let mustWait = false; // whether the changes that the server does not know yet are of more than colours
let willFollow = false; // whether their result follows colours that are shown
let changes = 0; // of colours, since the page was opened

// The server gets each change as it is now, in this order: what it knows at this time may be older.
export function keepLayers(layers) {
  if (layers.includes(stage.marks)) {
    state.hasNewMarks = true;
    state.isCancelled = false;
    say("");
    guarded(() => keeping.keepLayer("marks", stage.marksPng()));
    proposals.followMarks();
  }
  refresh();
  if (!layers.includes(stage.strokes)) return;
  const strokes = stage.strokes.isEmpty ? null : stage.strokes.png();
  panel.followStrokes(strokes !== null);
  recolour();
  guarded(() => keeping.keepLayer("hints", strokes));
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
  } catch {
    return false; // the full result says what is wrong
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
  while (isPolling && isBusy(current())) await api.pause(POLL);
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
  const left = new Set(ids);
  try {
    for (const id of ids) await keeping.send(id);
    if (!follows) album.begin(ids.length);
    for (const id of ids) {
      await ask(id);
      left.delete(id);
      if (isShown(id) && change === changes) state.isAhead = mustWait = false;
    }
    say("");
  } catch (error) {
    if (left.has(state.id)) {
      state.hasNewMarks = true;
      panel.keepSettings(photo());
    }
    throw error;
  } finally {
    state.asked.clear();
    refresh();
    poll();
  }
}

async function ask(id) {
  const item = state.photos.find((candidate) => candidate.id === id);
  if (isShown(id)) {
    state.hasNewMarks = keeping.isUnsent(id);
    state.isCancelled = false;
  }
  replacePhoto(await api.restore(id, panel.settings(item)));
  panel.forgetSettings(id);
}

// The server ends a restoration after the current step. The last photographs come first, so that none begins meanwhile.
export async function cancel(photos) {
  clearTimeout(again);
  changes += 1;
  state.isAhead = mustWait = false;
  const ids = photos.filter(isBusy).map((item) => item.id);
  for (const id of ids) state.ending.add(id);
  refresh();
  try {
    for (const id of [...ids].reverse()) replacePhoto(await api.cancel(id));
  } catch (error) {
    for (const id of ids) state.ending.delete(id); // they may go on
    state.hasNewMarks = true;
    throw error;
  } finally {
    refresh();
    poll();
  }
}

// Follow the photographs that wait or are restored, until the page shows what the server has. A request that fails ends
// nothing: the page says why, and asks again.
export async function poll() {
  if (isPolling) return;
  isPolling = true;
  let problem = "";
  do {
    let wait = POLL;
    try {
      await update();
      unsay(problem);
    } catch (error) {
      fail(error);
      problem = $("status").textContent;
      wait = RETRY;
    }
    refresh();
    await api.pause(wait);
  } while (!state.isRefused && (state.photos.some(isBusy) || !api.reaches() || isNewsWaiting()));
  isPolling = false;
}

// A result that lacks the colours that are shown is not shown: another one follows.
const isNewsWaiting = () => state.ending.has(state.id) || (isBehind() && !state.isAhead);

async function update() {
  const { version } = state;
  const photos = await api.list();
  if (version !== state.version) return; // it may be older than a change
  setPhotos(photos);
  album.showProgress(photos);
  listPhotos();
  const now = photo();
  for (const item of photos) if (item !== now && !isBusy(item)) state.ending.delete(item.id);
  if (!now) {
    if (photos.length && !state.id) await show(photos[0].id); // the answer of its opening was lost
    return;
  }
  if (isBusy(now) || !isNewsWaiting()) return;
  await showResult(state.ending.has(now.id));
  state.ending.delete(now.id);
}

// While the server does not answer, the page asks again; what was not sent is sent when it answers.
function followServer(isReached) {
  if (!isReached) {
    say(text("noServer"), true);
    poll();
    return;
  }
  unsay(text("noServer"));
  catchUp();
  guarded(async () => {
    for (const id of keeping.lacking()) await keeping.send(id);
    await finishColours();
  });
}

export const watchServer = () => api.listen(followServer);

export function listen() {
  keeping.listen((changed) => {
    if (isShown(changed.id)) refresh();
    if (isBusy(changed)) poll();
  });
}

export async function setReference(file) {
  if (!file) return;
  say(text("opening", { name: file.name }));
  if (!await guarded(() => keeping.keep((id) => api.setReference(id, file)), file.name)) return;
  restoreAgain({ shows: true });
  say(text("referenceOpened"));
  await panel.showReference(photo());
}

export async function removeReference() {
  await keeping.keep(api.removeReference);
  restoreAgain({ shows: true });
  await panel.showReference(photo());
  $("add-reference").focus();
}

export async function setMask(file) {
  if (!file) return;
  const { id } = state;
  const older = keeping.layer(id, "marks");
  if (!await guarded(() => keeping.keep(() => api.setMask(id, file)), file.name)) return;
  if (older) keeping.forget(id, "marks", older);
  if (isShown(id)) state.hasNewMarks = true;
  refresh();
  const marks = await api.bitmap(id, "marks");
  if (!isShown(id)) return;
  stage.loadMarks(marks);
  proposals.followMarks();
  refresh();
  say("");
}
