// The calls of the server. Each needs the token, which is in the link behind the #.

const TOKEN_KEY = "toolbox-token";
const PAGE = Math.random().toString(36).slice(2); // the server answers the page that was opened last

export function readToken() {
  const found = new URLSearchParams(location.hash.slice(1)).get("token");
  if (found) {
    sessionStorage.setItem(TOKEN_KEY, found);
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem(TOKEN_KEY) || "";
}

async function call(path, options = {}) {
  const headers = { "X-Toolbox-Token": readToken(), "X-Toolbox-Page": PAGE, ...options.headers };
  const response = await fetch(path, { ...options, headers });
  if (!response.ok) {
    let reason = response.statusText;
    try {
      reason = (await response.json()).error;
    } catch { /* no JSON: the status says it */ }
    throw Object.assign(new Error(reason), { status: response.status });
  }
  return response;
}

const json = async (path, options) => (await call(path, options)).json();
const photo = (id) => `/api/photos/${encodeURIComponent(id)}`;

export const choices = () => json("/api/choices");
export const list = () => json("/api/photos");
export const show = (id) => json(photo(id));
export const add = (file, name) => json(`/api/photos?name=${encodeURIComponent(name)}`, { method: "POST", body: file });
export const remove = (id) => call(photo(id), { method: "DELETE" });
export const picture = async (id, what) => (await call(`${photo(id)}/${what}`)).blob();
export const setMarks = (id, png) => json(`${photo(id)}/marks`, { method: "PUT", body: png });
export const setMask = (id, png) => json(`${photo(id)}/mask`, { method: "PUT", body: png });
export const setHints = (id, png) => json(`${photo(id)}/hints`, { method: "PUT", body: png });
export const removeHints = (id) => json(`${photo(id)}/hints`, { method: "DELETE" });
export const setReference = (id, file) =>
  json(`${photo(id)}/reference?name=${encodeURIComponent(file.name || "photo.png")}`, { method: "PUT", body: file });
export const removeReference = (id) => json(`${photo(id)}/reference`, { method: "DELETE" });
export const colours = (id, x, y) => json(`${photo(id)}/colors?x=${x}&y=${y}`);
export const damage = (id, sensitivity) => picture(id, `damage?sensitivity=${sensitivity}`);
export const cancel = (id) => json(`${photo(id)}/restore`, { method: "DELETE" });
export const restore = (id, settings) => json(`${photo(id)}/restore`, { method: "POST", body: JSON.stringify(settings) });
// `strokes` is a PNG of the strokes at a small size, or null if there are none.
export const quick = async (id, settings, strokes) => {
  const query = `settings=${encodeURIComponent(JSON.stringify(settings))}`;
  return (await call(`${photo(id)}/quick?${query}`, { method: "POST", body: strokes })).blob();
};
export async function resultFile(id) {
  const response = await call(`${photo(id)}/result`);
  const [type, tag] = ["content-type", "etag"].map((name) => response.headers.get(name) || "");
  return { blob: await response.blob(), type, tag };
}

// Decode a picture without a change of its values.
export const decode = (blob) => createImageBitmap(blob, { colorSpaceConversion: "none" });
export const bitmap = async (id, what) => decode(await picture(id, what));

// Show a picture in an <img>, or nothing.
export function showBlob(image, blob) {
  if (image.src) URL.revokeObjectURL(image.src);
  image.removeAttribute("src");
  if (blob) image.src = URL.createObjectURL(blob);
}
