// The texts of the page in one language: each language is one file in texts/.

import * as api from "./api.js";

// Until the texts are there.
let texts = { noServer: "toolbox does not answer. Reload this page.", english: "{line}", messages: {} };

export async function load(language) {
  texts = await api.texts(language);
  document.documentElement.lang = language;
  for (const one of document.querySelectorAll("[data-text]")) one.textContent = text(one.dataset.text);
  for (const one of document.querySelectorAll("[data-title]")) one.title = text(one.dataset.title);
  for (const one of document.querySelectorAll("[data-label]")) one.setAttribute("aria-label", text(one.dataset.label));
}

export function text(key, values = {}) {
  return fill(texts[key] ?? key, values);
}

const fill = (words, values) => words.replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);

// A message of the server in the language of the page; null for one that the table "messages" does not have.
export function message(line) {
  for (const [pattern, words] of Object.entries(texts.messages)) {
    const escaped = pattern.replace(/[.*+?^$()|[\]\\]/g, "\\$&").replace(/\{(\w+)\}/g, "(?<$1>.+)");
    const match = line.match(new RegExp(`^${escaped}$`));
    if (match) return fill(words, match.groups ?? {});
  }
  return null;
}

// The same, or else the message in English.
export const explain = (line) => message(line) ?? text("english", { line });
