// The photograph that is shown: its pictures, the next step, and which buttons can be used.

import * as album from "./album.js";
import * as api from "./api.js";
import * as compare from "./compare.js";
import * as keeping from "./keeping.js";
import * as panel from "./panel.js";
import * as proposals from "./proposals.js";
import { stage } from "./stage.js";
import {
  $, guarded, isAwaited, isBusy, isOutdated, isRestored, isShown, photo, say, setPhotos, state,
} from "./state.js";
import { explain, message, text } from "./texts.js";
import * as tools from "./tools.js";
import * as variants from "./variants.js";

const QUIET = 3; // seconds after which the page says how long a photograph takes
let isClosing = false;
let wanted = null; // the id of the photograph that is shown as soon as its pictures are there
let cannotShow = false; // whether the result has a format that browsers do not show
let leave = async () => {};
let follow = () => {};
let shownTag = ""; // what the server calls this version of the result
let shown = ""; // what is shown of the photograph: that of `version`

export const listPhotos = () => album.list(state.photos, state.id, (id) => guarded(() => show(id)));

// `leave` is called before another photograph is shown, `follow` when a result could not be shown.
export function listen(work) {
  ({ leave, follow } = work);
}

// What differs when there is something else to show.
const version = (item) => [item.id, item.state, item.began].join();

// Whether the page does not show yet what the server has.
export const isBehind = () => Boolean(photo()) && !isBusy(photo()) && shown !== version(photo());

// The picture of a layer, as the page has it, or else as the server has it; null if the layer is empty.
async function layer(item, name, isThere = true) {
  const png = keeping.layer(item.id, name);
  if (png !== undefined) return png && api.decode(await png);
  return isThere ? api.bitmap(item.id, name) : null;
}

// Until its pictures are there, what is drawn belongs to the photograph that is still shown.
export async function show(id) {
  wanted = id;
  await guarded(leave);
  await state.saved;
  const item = state.photos.find((candidate) => candidate.id === id);
  const [picture, marks, strokes] = await Promise.all([
    api.bitmap(id, "view"), layer(item, "marks"), layer(item, "hints", item.has_hints),
  ]);
  if (wanted !== id) return;
  state.id = id;
  shown = "";
  state.isCancelled = state.isAhead = false;
  state.hasNewMarks = keeping.isUnsent(id) || panel.hasUnknownSettings(id);
  say("");
  $("drop").hidden = true;
  $("work").hidden = $("open").hidden = false;
  compare.clear();
  stage.show(picture, marks, strokes);
  proposals.clear();
  tools.fitSize();
  panel.showSettings(photo());
  panel.showPalette([], "", () => {});
  $("palette-hint").hidden = false;
  if (photo().has_hints || photo().reference) $("colours").open = true;
  await guarded(() => panel.showReference(photo()));
  // If a photograph is opened again with marks of a person, that person has decided about its damage already.
  if (photo().is_edited && photo().state === "restored") proposals.settle(id);
  await guarded(() => showResult());
  if (isBehind()) follow();
  listPhotos();
}

// The result of a photograph: its file, its picture, and the print before other corrections, if it was cut out.
async function fetchResult(item) {
  const result = isRestored(item) ? await api.resultFile(item.id) : null;
  // Browsers show no TIFF; such a result can be saved, but not compared.
  const canShow = result && !result.type.includes("tif");
  const picture = canShow ? await api.decode(result.blob) : null;
  const isCut = picture && (picture.width !== stage.photo.width || picture.height !== stage.photo.height);
  return { result, picture, before: isCut ? await api.bitmap(item.id, "sheet") : null };
}

// `isCancelled`: the last restoration was cancelled, unless it ended before.
export async function showResult(isCancelled = false) {
  const item = photo();
  const { id } = item;
  if (isCancelled) state.isCancelled = state.hasNewMarks = true; // until the result is known
  shown = version(item);
  const { result, picture, before } = await fetchResult(item).catch((error) => {
    if (error.isLost || error.status >= 500) shown = ""; // the next try may succeed
    else state.ending.delete(id);
    throw error;
  });
  if (!isShown(id)) return;
  cannotShow = Boolean(result) && !picture;
  if (isCancelled) state.isCancelled = state.hasNewMarks = !result || result.tag === shownTag;
  if (!isBusy(photo())) state.hasNewMarks ||= isOutdated(photo());
  shownTag = result?.tag;
  if (picture && !compare.isOn()) {
    compare.moveTo(compare.START);
    $("show-mask").checked = false;
  }
  if (!picture) $("show-mask").checked = true;
  compare.show(picture, before);
  tools.toggleLayers();
  await guarded(() => panel.showOrigins(photo()));
  guarded(() => variants.renew(photo()));
  // The search for damage begins when the colours are there.
  if (picture && proposals.isNew(id)) guarded(() => proposals.look(id));
  refresh();
}

// Load what could not be loaded while the server did not answer.
export function catchUp() {
  album.loadPictures();
  if (compare.isOn() && proposals.isNew(state.id) && !proposals.isLooking()) guarded(() => proposals.look(state.id));
}

// The name, size, kind and marks of a photograph, in one line.
function facts(item) {
  const lost = (100 * item.lost).toLocaleString(document.documentElement.lang, { maximumFractionDigits: 2 });
  const marked = item.lost ? text("marked", { lost }) : text("noMarks");
  return [item.name, text("pixels", item), text(item.kind), marked].join(" · ");
}

// A note of the server, in the language of the page: "corrected: contrast 1, cast 0.5" or a sentence.
export function noteText(note) {
  const [, corrections] = note.match(/^corrected: (.*)$/) || [];
  if (!corrections) return message(note) ?? text("note", { note });
  const names = corrections.split(", ").map((item) => text(`corrected ${item.split(" ")[0]}`));
  return text("corrected", { names: names.join(", ") });
}

function guideDone() {
  if (cannotShow) return "guideHidden";
  if (stage.hasCut) return "guideCut";
  if (proposals.isLooking()) return "guideLooking";
  return proposals.isFound() ? "guideFound" : "guideRestored";
}

function activity(item) {
  if (state.ending.has(item.id)) return "ending";
  return item.state === "waiting" ? "waiting" : "running";
}

// What is being done, and after a while for how many seconds.
function busyText(item) {
  const what = activity(item);
  const seconds = Math.floor(Date.now() / 1000 - item.began);
  return text(what) + (what === "running" && seconds >= QUIET ? ` ${text("seconds", { seconds })}` : "");
}

// The one thing to do next, and what the file of the marks may lack, if they were loaded.
const guide = (item) => [nextStep(item), ...(isAwaited(item) ? [] : item.cautions.map(noteText))].join(" ");

function nextStep(item) {
  if (isAwaited(item)) return text(activity(item) === "running" && item.lost ? "runningMarks" : activity(item));
  if (state.hasNewMarks && isRestored(item)) return text(state.isCancelled ? "guideCancelled" : "guideChanged");
  if (isRestored(item)) return [text(guideDone()), ...item.notes.map(noteText)].filter(Boolean).join(" ");
  if (item.state === "failed" && !state.hasNewMarks) return text("failed", { reason: explain(item.reason) });
  if (item.state === "unchanged" && !state.hasNewMarks) return text(item.kind === "toned" ? "unchangedTone" : "unchanged");
  const unmarked = item.kind === "colour" ? "guideColour" : "guideUnmarked";
  return [state.isCancelled && text("cancelled"), text(item.lost ? "guideMarked" : unmarked)].filter(Boolean).join(" ");
}

export function refresh() {
  const item = photo();
  if (!item) return;
  const focused = document.activeElement;
  $("facts").textContent = facts(item);
  $("guide").textContent = guide(item);
  $("tone-row").hidden = item.kind !== "toned";
  $("recolor-row").hidden = item.kind !== "colour";
  $("guide").classList.toggle("error", item.state === "failed" && !state.hasNewMarks);
  const hasResult = isRestored(item);
  const isWaiting = isAwaited(item);
  $("undo").disabled = !stage.history.done.length;
  $("redo").disabled = !stage.history.undone.length;
  const strokes = keeping.layer(item.id, "hints");
  $("clear-strokes").hidden = $("strokes-row").hidden = strokes === undefined ? !item.has_hints : !strokes;
  $("save").hidden = !hasResult;
  // There is one main button: the next step.
  const canRepair = hasResult && proposals.isFound();
  $("repair").hidden = !canRepair;
  $("repair").disabled = !proposals.count();
  $("repair").classList.toggle("main", !state.hasNewMarks);
  $("save").classList.toggle("main", !state.hasNewMarks && !canRepair);
  // A button that is disabled would lose the focus, and a keyboard its position.
  $("restore").setAttribute("aria-disabled", isWaiting);
  $("restore").hidden = hasResult && !state.hasNewMarks;
  $("restore").textContent = text(hasResult ? "restoreAgain" : "restore");
  $("cancel").hidden = !isWaiting || !["waiting", "running"].includes(item.state);
  $("cancel").setAttribute("aria-disabled", state.ending.has(item.id));
  if (focused.closest("#next-step") && focused.hidden) $("next-step").querySelector(".main:not([hidden])").focus();
  $("busy").hidden = !isWaiting;
  $("busy-text").textContent = isWaiting ? busyText(item) : "";
  $("sensitivity-row").hidden = !hasResult || proposals.isLooking();
  const index = state.photos.indexOf(item);
  $("previous").hidden = $("next").hidden = state.photos.length < 2;
  $("previous").disabled = index <= 0;
  $("next").disabled = index === state.photos.length - 1;
}

export async function close() {
  if (isClosing) return null;
  isClosing = true;
  const { isAhead } = state;
  state.isAhead = false; // nothing more is asked for
  await state.saved;
  const index = state.photos.indexOf(photo());
  try {
    await api.remove(state.id);
  } catch (error) {
    state.hasNewMarks ||= isAhead;
    refresh();
    throw error;
  } finally {
    isClosing = false;
  }
  keeping.drop(state.id);
  setPhotos(state.photos.filter((item) => item.id !== state.id));
  const next = state.photos[Math.min(index, state.photos.length - 1)];
  if (next) return show(next.id);
  state.id = null;
  $("work").hidden = $("open").hidden = true;
  $("drop").hidden = false;
  listPhotos();
  $("open-first").focus();
}

export function step(by) {
  const next = state.photos[state.photos.indexOf(photo()) + by];
  return next && show(next.id);
}
