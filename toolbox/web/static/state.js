// The open photographs, the one that is shown, and what the page says.

import { explain, text } from "./texts.js";

export const $ = (id) => document.getElementById(id);

export const state = {
  photos: [],
  id: null, // of the photograph that is shown
  hasNewMarks: false, // whether marks, or other things that do not restore it by themselves, changed since it was restored
  isCancelled: false, // whether its last restoration was cancelled, so that its result is an older one
  saved: Promise.resolve(), // fulfilled when the server has every change
  asked: new Set(), // the ids of photographs that the server is about to be asked to restore
  following: null, // the id of the photograph whose full result follows colours that are shown already
  isAhead: false, // whether there are changes for which the server was not asked to restore the photograph yet
  ending: new Set(), // the ids of photographs whose restoration is being cancelled
};

export const photo = () => state.photos.find((item) => item.id === state.id);

export const isBusy = (item) => ["waiting", "running"].includes(item?.state) || state.asked.has(item?.id);

// Whether a person waits for its result. Nobody waits for a full result whose colours are shown already.
export const isAwaited = (item) => isBusy(item) && state.following !== item.id;

// Whether it has a result to show and to save.
export const isRestored = (item) => (isBusy(item) ? !isAwaited(item) : item.state === "restored");

// Whether something of it was changed after its result was made.
export const isOutdated = (item) => item.edits !== item.restored_edits;

export const isShown = (id) => state.id === id;

export function replacePhoto(changed) {
  state.photos = state.photos.map((item) => (item.id === changed.id ? changed : item));
}

export function say(line, isError = false) {
  $("status").textContent = line;
  $("status").classList.toggle("error", isError);
}

export function fail(error) {
  if (error.status === 403) say(text("lostToken"), true);
  else say(error.status ? explain(error.message) : text("noServer"), true);
}

// Do the work; if it fails, show the error and return null.
export async function guarded(work) {
  try {
    return await work();
  } catch (error) {
    fail(error);
    return null;
  }
}
