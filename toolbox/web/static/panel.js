// The panel beside the photograph: its settings, colours for strokes, the reference, what was invented.

import * as api from "./api.js";
import { nameOf } from "./colours.js";
import * as prints from "./prints.js";
import { $, isRestored } from "./state.js";
import { text } from "./texts.js";
import * as variants from "./variants.js";

// What the server offers: settings, and the colours of the origins.
let offered = {};

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
  const chosen = { keep_tone: $("tone").checked && photo.kind === "toned" };
  if ($("recolor").checked && photo.kind === "colour") chosen.keep = "luma";
  if (!$("fill-row").hidden) chosen.fill = $("fill").value;
  if (!$("saturation-row").hidden) chosen.saturation = Number($("saturation").value);
  if (offered.settings.variant) chosen.variant = variants.chosen();
  if ($("colours-only").checked) chosen.second = "colours";
  return { ...chosen, ...prints.settings() };
}

export function showSettings(photo) {
  $("tone-row").hidden = photo.kind !== "toned";
  $("recolor-row").hidden = photo.kind !== "colour";
  $("tone").checked = photo.settings.keep_tone ?? false;
  $("recolor").checked = photo.settings.keep === "luma";
  for (const name of ["fill", "saturation"]) {
    if (photo.settings[name] !== undefined) $(name).value = photo.settings[name];
  }
  showSaturation();
  variants.press(photo.settings.variant ?? 1);
  $("colours-only").checked = photo.settings.second === "colours";
  prints.show(photo.settings);
}

// Strokes of colour need new colours.
export function wantColours() {
  $("recolor").checked = true;
  $("tone").checked = false;
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
