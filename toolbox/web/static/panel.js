// The panel beside the photograph: its settings, colours for strokes, the reference, what was invented.

import * as api from "./api.js";
import { nameOf } from "./colours.js";
import * as prints from "./prints.js";
import { $, isRestored } from "./state.js";
import { text } from "./texts.js";
import * as variants from "./variants.js";

// What the server offers: settings, and the colours of the origins.
let offered = {};
// The settings of photographs that were not restored yet, by id: the server knows those of a restoration.
const chosen = new Map();
const unknown = new Set(); // the ids of photographs of which the server does not know these settings
const WANTED = { recolor: true, tone: false }; // with strokes of colour
let switched = []; // the settings that strokes changed

export function offer(answer) {
  offered = answer;
  const { fill, saturation } = answer.settings;
  $("fill-row").hidden = !fill;
  $("fill").replaceChildren(...(fill || []).map((value) => new Option("", value)));
  nameFills();
  $("saturation-row").hidden = !saturation;
  if (saturation) [$("saturation").min, $("saturation").max] = saturation;
  $("saturation").value = 1;
  showSaturation();
}

// The size at which the server takes strokes to show their colours at once.
export const strokePixels = () => offered.stroke_pixels;

// A filler of another plugin has its own name.
export function nameFills() {
  for (const option of $("fill").options) {
    const name = `fill ${option.value}`;
    option.textContent = text(name) === name ? option.value : text(name);
  }
}

export function settings(photo) {
  const values = { keep_tone: $("tone").checked && photo.kind === "toned" };
  if ($("recolor").checked) values.keep = "luma";
  if (!$("fill-row").hidden) values.fill = $("fill").value;
  if (!$("saturation-row").hidden) values.saturation = Number($("saturation").value);
  if (offered.settings.variant) values.variant = variants.chosen();
  if ($("colours-only").checked) values.second = "colours";
  return { ...values, ...prints.settings() };
}

// Keep the settings of a photograph that is not restored yet, or not with them.
export function keepSettings(photo) {
  chosen.set(photo.id, settings(photo));
  unknown.add(photo.id);
}

// The server knows the settings of a photograph.
export const forgetSettings = (id) => unknown.delete(id);

// Whether a photograph has settings that the server does not know.
export const hasUnknownSettings = (id) => unknown.has(id);

export function showSettings(photo) {
  switched = [];
  const isKnown = photo.state !== "new" && !unknown.has(photo.id);
  const values = isKnown ? photo.settings : chosen.get(photo.id) ?? {};
  $("tone").checked = values.keep_tone ?? false;
  $("recolor").checked = values.keep === "luma";
  $("fill").value = values.fill ?? $("fill").options[0]?.value;
  $("saturation").value = values.saturation ?? 1;
  showSaturation();
  variants.press(values.variant ?? 1);
  $("colours-only").checked = values.second === "colours";
  prints.show(values);
}

// Strokes of colour need new colours. Without strokes, what they switched is as it was before.
export function followStrokes(hasStrokes) {
  if (hasStrokes) switched.push(...Object.keys(WANTED).filter((id) => $(id).checked !== WANTED[id]));
  for (const id of switched) $(id).checked = hasStrokes === WANTED[id];
  if (!hasStrokes) switched = [];
}

export function showSaturation() {
  $("saturation-value").textContent = `${Math.round(100 * $("saturation").value)} %`;
}

// Show colours to choose from; `choose` is called with one.
export function showPalette(colours, chosen, choose) {
  $("palette").replaceChildren(...colours.map((colour, index) => {
    const button = document.createElement("button");
    button.style.background = colour;
    button.dataset.colour = colour;
    const label = text("likelyColour", { number: index + 1, name: nameOf(colour) });
    button.setAttribute("aria-label", label);
    button.title = label;
    button.setAttribute("aria-pressed", colour === chosen);
    button.addEventListener("click", () => choose(colour));
    return button;
  }));
}

export function pressColour(colour) {
  for (const one of $("palette").children) one.setAttribute("aria-pressed", one.dataset.colour === colour);
  $("own-colour").value = colour;
}

export async function showReference(photo) {
  const has = Boolean(photo.reference);
  $("reference-shown").hidden = !has;
  $("reference-help").hidden = has;
  $("reference-name").textContent = photo.reference;
  api.showBlob($("reference-picture"), has ? await api.picture(photo.id, "reference") : null);
}

// Show the fractions of the origins and, if wanted, the picture of them over the result.
export async function showOrigins(photo) {
  const hasResult = isRestored(photo);
  $("origin-section").hidden = !hasResult || !Object.keys(photo.origins).length;
  const language = document.documentElement.lang;
  const rows = Object.entries(hasResult ? photo.origins : {}).map(([name, fraction]) => {
    const item = document.createElement("li");
    const mark = document.createElement("span");
    mark.style.background = offered.origins[name];
    const percent = (100 * fraction).toLocaleString(language, { maximumFractionDigits: 1 });
    item.append(mark, `${text(name)}: ${percent} %`);
    return item;
  });
  $("origins").replaceChildren(...rows);
  const shown = !$("origin-section").hidden && $("show-origin").checked;
  const blob = shown ? await api.picture(photo.id, "provenance") : null;
  $("origin").hidden = !shown;
  api.showBlob($("origin"), blob);
}
