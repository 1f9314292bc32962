// Damage that the server proposes: groups of pixels by kind. A click on a group leaves it out or includes it again.

import * as api from "./api.js";
import { rgbOf } from "./colours.js";
import { stage } from "./stage.js";
import { $ } from "./state.js";
import { text } from "./texts.js";

const FAINT = 60; // opacity of a group that is left out, of 255
// A group that is larger than this fraction of the photograph is left out at first: it may be a part of the scene. A
// torn part is not left out: nothing of the scene is left there.
const LARGE = 0.02;

let colours = {}; // of the kinds, in the order of their numbers
let found = null; // of the photograph that is shown: the picture, and for each group its kind, its size, and whether it counts
let asked = 0;
let state = ""; // the key of what is said on the search
let onChange = () => {};
const settled = new Set(); // the ids of photographs whose damage a person has decided on

export function offer(answer) {
  colours = answer.damage;
  $("proposals-box").hidden = !Object.keys(colours).length;
}

// `work` is called when the proposed or the chosen groups change.
export function listen(work) {
  onChange = work;
}

export function clear() {
  asked += 1;
  found = null;
  say("");
  draw();
}

// No more damage is proposed for a photograph, unless a person asks for it.
export const settle = (id) => settled.add(id);

// Whether the search for damage has not been done yet.
export const isNew = (id) => !found && !settled.has(id);

export const isLooking = () => state === "looking";

export const isFound = () => proposed().length > 0;

// How many groups are chosen.
export const count = () => proposed().filter((one) => one.counts).length;

// Texts in another language.
export function rename() {
  say(state);
  if (found) list();
}

function say(key) {
  state = key;
  const large = proposed().some((one) => one.isLarge);
  $("proposals-state").textContent = [key && text(key), large && text("damageLarge")].filter(Boolean).join(" ");
  onChange();
}

// Ask the server for damage; an answer that comes after another photograph was opened is not used.
export async function look(id) {
  if ($("proposals-box").hidden) return;
  clear();
  const number = asked;
  say("looking");
  const picture = await find(id, number);
  if (number !== asked) return;
  const canvas = document.createElement("canvas");
  canvas.width = picture.width;
  canvas.height = picture.height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0);
  const { data } = context.getImageData(0, 0, picture.width, picture.height);
  found = { data, width: picture.width, height: picture.height, groups: new Map() };
  findGroups();
  followMarks();
}

async function find(id, number) {
  try {
    return await api.decode(await api.damage(id, $("sensitivity").value));
  } catch (error) {
    if (number === asked) say("");
    throw error;
  }
}

function findGroups() {
  const { data, groups } = found;
  for (let i = 0; i < data.length; i += 4) {
    if (!data[i]) continue;
    if (!groups.has(group(i))) groups.set(group(i), { kind: data[i], size: 0 });
    groups.get(group(i)).size += 1;
  }
  const tear = Object.keys(colours).indexOf("tear") + 1;
  for (const one of groups.values()) {
    one.isLarge = one.kind !== tear && one.size > LARGE * found.width * found.height;
    one.counts = !one.isLarge;
  }
}

// The marks changed: groups of which most is marked are no proposals.
export function followMarks() {
  if (!found) return;
  const { data } = stage.marks.pixels();
  for (const one of found.groups.values()) one.marked = 0;
  forEachPixel((i, one) => { if (data[i + 3] >= 128) one.marked += 1; });
  say(isFound() ? "damageFound" : "noDamage");
  draw();
}

const isOpen = (one) => 2 * one.marked <= one.size;

// The groups that are proposed.
const proposed = () => [...(found?.groups.values() ?? [])].filter(isOpen);

const group = (i) => 256 * found.data[i + 1] + found.data[i + 2];

// Draw the groups, and list their kinds.
function draw() {
  $("proposals-found").hidden = !isFound();
  const canvas = $("proposals");
  canvas.width = found?.width ?? 1;
  canvas.height = found?.height ?? 1;
  if (!found) return;
  const context = canvas.getContext("2d");
  const picture = context.createImageData(canvas.width, canvas.height);
  const rgb = Object.values(colours).map(rgbOf);
  forEachPixel((i, one) => {
    if (!isOpen(one)) return;
    [picture.data[i], picture.data[i + 1], picture.data[i + 2]] = rgb[one.kind - 1];
    picture.data[i + 3] = one.counts ? 255 : FAINT;
  });
  context.putImageData(picture, 0, 0);
  list();
  onChange();
}

function forEachPixel(work) {
  for (let i = 0; i < found.data.length; i += 4) if (found.data[i]) work(i, found.groups.get(group(i)));
}

function list() {
  const groups = proposed();
  $("kinds").replaceChildren(...Object.entries(colours).flatMap(([kind, colour], index) => {
    const own = groups.filter((one) => one.kind === index + 1);
    if (!own.length) return [];
    const item = document.createElement("li");
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.checked = own.some((one) => one.counts);
    box.addEventListener("change", () => {
      for (const one of own) one.counts = box.checked;
      draw();
      $("kinds").querySelectorAll("input")[[...$("kinds").children].indexOf(item)]?.focus();
    });
    const mark = document.createElement("span");
    mark.className = "swatch";
    mark.style.background = colour;
    label.append(box, mark, `${text(kind)}: ${own.filter((one) => one.counts).length}`);
    item.append(label);
    return [item];
  }));
}

// Leave out the group at a pixel, or include it again.
export function toggle({ x, y }) {
  if (!found || $("proposals").hidden) return;
  const [column, row] = [Math.floor(x), Math.floor(y)];
  if (column < 0 || row < 0 || column >= found.width || row >= found.height) return;
  const one = found.groups.get(nearest(column, row));
  if (!one) return;
  one.counts = !one.counts;
  draw();
}

const isProposed = (i) => found.data[i] && isOpen(found.groups.get(group(i)));

// The group at a pixel or a few pixels beside it: scratches are thin.
function nearest(column, row) {
  for (let radius = 0; radius <= 4; radius += 1) {
    for (let y = row - radius; y <= row + radius; y += 1) {
      for (let x = column - radius; x <= column + radius; x += 1) {
        const i = 4 * (y * found.width + x);
        if (x >= 0 && y >= 0 && x < found.width && y < found.height && isProposed(i)) return group(i);
      }
    }
  }
  return -1;
}

// Call `work` with the index of each pixel of the groups that count, and with the number of its kind.
export function forEachChosen(work) {
  forEachPixel((i, one) => { if (one.counts && isOpen(one)) work(i / 4, one.kind); });
}
