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
  isRefused: false, // whether the server answers this page no more: another one was opened, or its link is old
  version: 0, // of `photos`: a list that was asked for before a change is older than the change
};

export const photo = () => state.photos.find((item) => item.id === state.id);

// A page that the server does not answer does not wait for it.
export const isBusy = (item) =>
  !state.isRefused && (["waiting", "running"].includes(item?.state) || state.asked.has(item?.id));

// Whether a person waits for its result. Nobody waits for a full result whose colours are shown already.
export const isAwaited = (item) => isBusy(item) && state.following !== item.id;

// Whether it has a result to show and to save.
export const isRestored = (item) => (isBusy(item) ? !isAwaited(item) : item.state === "restored");

// Whether something of it was changed after its result was made.
export const isOutdated = (item) => item.edits !== item.restored_edits;

export const isShown = (id) => state.id === id;

export function setPhotos(photos) {
  state.photos = photos;
  state.version += 1;
}

export function replacePhoto(changed) {
  setPhotos(state.photos.map((item) => (item.id === changed.id ? changed : item)));
}

export function say(line, isError = false) {
  if ($("status").textContent !== line) $("status").textContent = line; // what is said again is not read aloud again
  $("status").classList.toggle("error", isError);
}

// Remove a line, if it is still what the page says.
export function unsay(line) {
  if ($("status").textContent === line) say("");
}

// Why a request, or other work, failed.
export function reasonOf(error) {
  if (error.isLost) return text("noServer");
  if (error.isUnreadable) return text("unreadable");
  if (error.status === 403) return text("lostToken");
  return explain(error.message);
}

// The same, of work on a file. The page does not send files again by itself.
export const reasonOfFile = (error, name) =>
  error.isLost ? text("lostFile", { name }) : text("failedOpen", { name, reason: reasonOf(error) });

// Say why work failed; `name` is that of a file that it was about.
export function fail(error, name = "") {
  state.isRefused ||= [403, 409].includes(error.status);
  const isOfFile = name && (error.isLost || error.isUnreadable);
  say(isOfFile ? reasonOfFile(error, name) : reasonOf(error), true);
}

// Do the work; if it fails, show the error and return null.
export async function guarded(work, name = "") {
  try {
    return await work();
  } catch (error) {
    fail(error, name);
    return null;
  }
}
