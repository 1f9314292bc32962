// The texts of the page in one language: each language is one file in texts/.

let texts = {};

export async function load(language) {
  const response = await fetch(`/static/texts/${language}.json`);
  texts = await response.json();
  document.documentElement.lang = language;
  for (const one of document.querySelectorAll("[data-text]")) one.textContent = text(one.dataset.text);
  for (const one of document.querySelectorAll("[data-title]")) one.title = text(one.dataset.title);
  for (const one of document.querySelectorAll("[data-label]")) one.setAttribute("aria-label", text(one.dataset.label));
}

export function text(key, values = {}) {
  return (texts[key] ?? key).replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);
}
