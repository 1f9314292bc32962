// Corrections of a print: contrast, cast, uneven light, the sheet cut out; by hand or automatically.

import { $ } from "./state.js";

const STRENGTHS = ["contrast", "cast", "evenness"];

export const IDS = ["auto", "crop", ...STRENGTHS];

export function toggleRows() {
  for (const row of document.querySelectorAll(".by-hand")) row.hidden = $("auto").checked;
}

// The diagnosis, if it is asked for, decides the values that are not sent.
export function settings() {
  const evenness = Number($("evenness").value);
  if ($("auto").checked) return { auto: true, evenness };
  return {
    crop: $("crop").checked ? "print" : "none", contrast: Number($("contrast").value), cast: Number($("cast").value), evenness,
  };
}

export function show(chosen) {
  $("auto").checked = chosen.auto ?? false;
  $("crop").checked = chosen.crop === "print";
  for (const name of STRENGTHS) $(name).value = chosen[name] ?? 0;
  if ($("auto").checked || $("crop").checked || STRENGTHS.some((name) => chosen[name])) $("print").open = true;
  toggleRows();
}
