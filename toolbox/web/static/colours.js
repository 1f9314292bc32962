// Colours as "#rrggbb": their values and their names.

import { text } from "./texts.js";

const HUES = ["red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink"];
// Degrees at which the names above end.
const ENDS = [18, 45, 70, 165, 200, 260, 300, 345];

// Red, green and blue, from 0 to 255.
export const rgbOf = (colour) => [1, 3, 5].map((start) => parseInt(colour.slice(start, start + 2), 16));

// The name of a colour, in the language of the page.
export function nameOf(colour) {
  const [red, green, blue] = rgbOf(colour).map((value) => value / 255);
  const [high, low] = [Math.max(red, green, blue), Math.min(red, green, blue)];
  const range = high - low;
  if (range < 0.06) return text("grayColour");
  let hue = (green - blue) / range;
  if (high === green) hue = 2 + (blue - red) / range;
  if (high === blue) hue = 4 + (red - green) / range;
  const degrees = (60 * hue + 360) % 360;
  const index = ENDS.findIndex((end) => degrees < end);
  const name = HUES[index < 0 ? 0 : index];
  return text(name === "orange" && high < 0.65 ? "brown" : name);
}
