// Before and after: the original left of a line, the result right of it. A drag or the slider moves the line.

import { stage } from "./stage.js";
import { $ } from "./state.js";

export const START = 50; // percent of the photograph's width

const percent = () => Number($("compare").value);

export const isOn = () => !$("compare-row").hidden;

export function clear() {
  show(null);
}

// Show a result beside the original, or the original alone.
export function show(picture, before = null) {
  stage.showResult(picture, before);
  $("compare-row").hidden = !picture;
  moveTo(percent());
}

export function moveTo(value) {
  $("compare").value = value;
  for (const layer of [stage.restored, $("origin")]) layer.style.clipPath = isOn() ? `inset(0 0 0 ${value}%)` : "";
  place();
}

// The line is over the stage, so that its width stays the same when the photograph is enlarged.
function place() {
  const box = stage.stage.getBoundingClientRect();
  const x = stage.x + (percent() / 100) * stage.compared.width * stage.scale;
  const canShow = isOn() && stage.isCut === stage.hasCut && x >= -1 && x <= box.width + 1;
  $("divider").hidden = !canShow;
  $("before-label").hidden = !canShow || percent() < 10;
  $("after-label").hidden = !canShow || percent() > 90;
  $("divider").style.left = `${Math.min(box.width, Math.max(0, x))}px`;
}

export function listen() {
  const divider = $("divider");
  $("compare").addEventListener("input", () => moveTo(percent()));
  divider.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    divider.setPointerCapture(event.pointerId);
  });
  divider.addEventListener("pointermove", (event) => {
    if (!divider.hasPointerCapture(event.pointerId)) return;
    const x = event.clientX - stage.stage.getBoundingClientRect().left;
    moveTo(Math.min(100, Math.max(0, (100 * (x - stage.x)) / (stage.compared.width * stage.scale))));
  });
  stage.onPlace = place;
}
