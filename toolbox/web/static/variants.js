// Small pictures of the colourings to choose from, side by side.

import * as api from "./api.js";
import { $, guarded, isRestored, isShown } from "./state.js";
import { text } from "./texts.js";

let isOld = true; // whether the pictures are of another result
let asked = 0;

const buttons = () => [...$("variants").children];

// `choose` is called when another colouring was chosen.
export function offer(numbers = [], choose = () => {}) {
  $("variants").replaceChildren(...numbers.map((number) => {
    const [button, picture] = ["button", "img"].map((tag) => document.createElement(tag));
    picture.alt = "";
    button.dataset.variant = number;
    button.append(picture);
    button.addEventListener("click", () => {
      press(number);
      choose();
    });
    return button;
  }));
  rename();
  press(1);
}

// Texts in another language.
export function rename() {
  for (const button of buttons()) {
    button.title = text("variant", { number: button.dataset.variant });
    button.setAttribute("aria-label", button.title);
  }
}

export const chosen = () => Number(buttons().find((button) => button.getAttribute("aria-pressed") === "true").dataset.variant);

export function press(number) {
  for (const button of buttons()) button.setAttribute("aria-pressed", Number(button.dataset.variant) === number);
}

// The result changed: its pictures are fetched when a person looks at the colours.
export function renew(photo) {
  isOld = true;
  return show(photo);
}

async function show(photo) {
  const hasColours = isRestored(photo) && photo.origins["colour from network"];
  $("variants-row").hidden = !buttons().length || !hasColours;
  if ($("variants-row").hidden || !$("colours").open || !isOld) return;
  isOld = false;
  asked += 1;
  const number = asked;
  try {
    for (const button of buttons()) {
      const picture = await api.picture(photo.id, `variants/${button.dataset.variant}`);
      if (number !== asked || !isShown(photo.id)) return;
      api.showBlob(button.firstChild, picture);
    }
  } catch (error) {
    if (number === asked) isOld = true;
    throw error;
  }
}

// `photo` returns the photograph that is shown.
export function listen(photo) {
  $("colours").addEventListener("toggle", () => photo() && guarded(() => show(photo())));
}
