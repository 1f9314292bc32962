// The page: connects its buttons and starts it.

import * as api from "./api.js";
import * as compare from "./compare.js";
import * as dropping from "./dropping.js";
import * as files from "./files.js";
import * as panel from "./panel.js";
import * as prints from "./prints.js";
import * as proposals from "./proposals.js";
import * as restoring from "./restoring.js";
import { stage } from "./stage.js";
import { $, guarded, isAwaited, isBusy, isShown, photo, say, setPhotos, state } from "./state.js";
import * as texts from "./texts.js";
import * as tools from "./tools.js";
import * as variants from "./variants.js";
import * as viewer from "./viewer.js";

const RETRY = 2000; // milliseconds after which the page tries again to begin
let asked = 0; // for colours

// Offer likely colours at the position where a stroke begins. The choice changes this stroke, too.
function offerColours(x, y) {
  if (x < 0 || x > 1 || y < 0 || y > 1) return;
  const { id } = state;
  asked += 1;
  const number = asked;
  guarded(async () => {
    const colours = await api.colours(id, x, y);
    if (!isShown(id) || number !== asked) return;
    $("palette-hint").hidden = true;
    panel.showPalette(colours, stage.colour, chooseColour);
  });
}

function chooseColour(colour) {
  stage.setColour(colour);
  panel.pressColour(colour);
}

// On a phone the photograph may be above the screen.
const showStage = () => $("frame").scrollIntoView({ block: "nearest" });

async function setLanguage(language) {
  await texts.load(language);
  panel.nameFills();
  variants.rename();
  if (!photo()) return;
  viewer.refresh();
  proposals.rename();
  await panel.showOrigins(photo());
}

function listen() {
  const click = (id, work) => $(id).addEventListener("click", () => guarded(async () => work()));
  const change = (id, work) => $(id).addEventListener("change", () => guarded(async () => work()));
  click("restore", () => {
    showStage();
    if (isAwaited(photo())) return null;
    tools.choose("move"); // so that a drag compares instead of drawing
    return restoring.restore([state.id]);
  });
  click("restore-all", () => restoring.restore(state.photos.map((item) => item.id)));
  click("cancel", () => restoring.cancel([photo()]));
  click("cancel-all", () => restoring.cancel(state.photos));
  click("clear", () => stage.clear(stage.marks));
  click("clear-strokes", () => stage.clear(stage.strokes));
  click("repair", () => {
    showStage();
    tools.choose("move");
    return restoring.repair();
  });
  change("sensitivity", () => proposals.look(state.id));
  files.onChoose("add-reference", "reference-file", ([file]) => restoring.setReference(file));
  click("remove-reference", restoring.removeReference);
  $("own-colour").addEventListener("input", () => chooseColour($("own-colour").value));
  click("save", files.saveResult);
  click("save-mask", files.saveMarks);
  files.onChoose("load-mask", "mask-file", ([file]) => restoring.setMask(file));
  click("previous", () => viewer.step(-1));
  click("next", () => viewer.step(1));
  // The second click of a double click would close the next photograph.
  $("close").addEventListener("click", (event) => event.detail > 1 || guarded(viewer.close));
  change("show-origin", () => panel.showOrigins(photo()));
  $("saturation").addEventListener("input", panel.showSaturation);
  change("auto", prints.toggleRows);
  change("saturation", restoring.recolour);
  change("colours-only", () => restoring.restoreAgain({ shows: true }));
  for (const id of ["fill", "tone", "recolor", ...prints.IDS]) change(id, () => restoring.restoreAgain());
  change("language", async () => {
    const { value } = $("language");
    try {
      await setLanguage(value);
      localStorage.setItem("toolbox-language", value);
    } catch (error) {
      $("language").value = document.documentElement.lang;
      throw error;
    }
  });
}

async function begin() {
  await texts.load($("language").value);
  const offered = await api.choices();
  panel.offer(offered);
  proposals.offer(offered);
  dropping.offer(offered);
  variants.offer(offered.settings.variant, restoring.recolour);
  setPhotos(await api.list());
  say("");
  viewer.listPhotos();
  if (state.photos.length) await viewer.show(state.photos[0].id);
  if (state.photos.some(isBusy)) restoring.poll();
  document.body.dataset.ready = "true";
  return true;
}

async function start() {
  const wanted = localStorage.getItem("toolbox-language") || navigator.language.slice(0, 2);
  $("language").value = wanted === "ko" ? "ko" : "en";
  Object.assign(stage, { onChange: restoring.keepLayers, onColour: offerColours, onTap: proposals.toggle });
  proposals.listen(viewer.refresh);
  viewer.listen({ leave: restoring.finishColours, follow: restoring.poll });
  restoring.listen();
  listen();
  files.listen();
  compare.listen();
  tools.listen(() => Boolean(state.id));
  variants.listen(photo);
  api.readToken();
  // The link of another server differs behind the # alone, so the browser does not load it by itself.
  addEventListener("hashchange", () => { if (api.hasNewToken()) location.reload(); });
  while (!await guarded(begin) && !state.isRefused) await api.pause(RETRY);
  restoring.watchServer();
}

start();
