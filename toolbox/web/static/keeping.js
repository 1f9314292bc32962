// Changes of photographs, which the server keeps, so that a reload loses nothing. They are sent one after the other.
// A layer that did not reach the server stays here, and is sent again before the photograph is restored.

import * as api from "./api.js";
import { isShown, replacePhoto, state } from "./state.js";

const SEND = {
  marks: api.setMarks,
  hints: (id, png) => (png ? api.setHints(id, png) : api.removeHints(id)),
};
const unsent = new Map(); // by the ids of photographs: the layers that the server does not have, by their names
const failed = new Set(); // the ids of photographs of which a layer could not be sent
let onChange = () => {};

// `work` is called with a photograph that the server has changed.
export function listen(work) {
  onChange = work;
  // A reload would lose what the server does not have.
  addEventListener("beforeunload", (event) => { if (unsent.size) event.preventDefault(); });
}

// Do the work when the changes before it were sent.
function inOrder(work) {
  const done = state.saved.then(work);
  state.saved = done.catch(() => {});
  return done;
}

function take(changed) {
  replacePhoto(changed);
  onChange(changed);
  return changed;
}

// Change the photograph that is shown: `work` gets its id, and returns it as it is after the change.
export const keep = (work) => {
  const { id } = state;
  return inOrder(async () => take(await work(id)));
};

// Keep a layer of the photograph that is shown as it is now. `png` is a promise of it; null if the layer is empty.
export function keepLayer(name, png) {
  const { id } = state;
  if (!unsent.has(id)) unsent.set(id, new Map());
  unsent.get(id).set(name, png);
  return send(id);
}

// Send the layers of a photograph that the server does not have. After an error, it still does not have all.
export const send = (id) => inOrder(async () => {
  try {
    for (const [name, png] of unsent.get(id) ?? []) {
      const changed = await SEND[name](id, await png);
      forget(id, name, png);
      take(changed);
    }
  } catch (error) {
    failed.add(id);
    if (isShown(id)) state.hasNewMarks = true;
    throw error;
  }
});

// The layer of a photograph, if the server does not have it; else undefined.
export const layer = (id, name) => unsent.get(id)?.get(name);

// Whether the server does not have a layer of a photograph.
export const isUnsent = (id) => unsent.has(id);

// The ids of the photographs of which a layer could not be sent.
export const lacking = () => [...failed];

// The server has a layer, or needs it no more. One that was changed meanwhile is still to be sent.
export function forget(id, name, png = layer(id, name)) {
  const layers = unsent.get(id);
  if (!layers || layers.get(name) !== png) return;
  layers.delete(name);
  if (layers.size) return;
  unsent.delete(id);
  failed.delete(id);
}

// The photograph was closed.
export function drop(id) {
  unsent.delete(id);
  failed.delete(id);
}
