// The calls of the server. Each needs the token, which is in the link behind the #.

const TOKEN_KEY = "toolbox-token";
const PAGE = Math.random().toString(36).slice(2); // the server answers the page that was opened last
const PAUSES = [300, 1000]; // milliseconds before a request that was lost is sent again
const LIMIT = 60000; // milliseconds after which a request that takes no time to answer counts as lost

let isReached = true;
let onReach = () => {};

// Whether the last request was answered.
export const reaches = () => isReached;

// `work` is called with whether the server is reached, when this changes.
export function listen(work) {
  onReach = work;
}

export const pause = (milliseconds) => new Promise((resolve) => { setTimeout(resolve, milliseconds); });

const tokenInLink = () => new URLSearchParams(location.hash.slice(1)).get("token");

export const hasNewToken = () => Boolean(tokenInLink());

export function readToken() {
  const found = tokenInLink();
  if (found) {
    sessionStorage.setItem(TOKEN_KEY, found);
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem(TOKEN_KEY) || "";
}

function reach(now) {
  if (now === isReached) return;
  isReached = now;
  onReach(now);
}

const refused = (message, facts) => Object.assign(new Error(message), facts);

// A folder, and a file that was moved or deleted after it was chosen, can't be read.
async function canRead(body) {
  if (!(body instanceof Blob)) return true;
  return body.slice(0, 1).arrayBuffer().then(() => true, () => false);
}

// Send a request once, and read its answer.
async function attempt(path, { limit, ...options }, read) {
  let response;
  try {
    response = await fetch(path, limit ? { ...options, signal: AbortSignal.timeout(limit) } : options);
    if (response.ok) return await read(response);
  } catch (error) {
    if (await canRead(options.body)) throw refused(error.message, { isLost: true });
    throw refused(error.message, { isUnreadable: true });
  }
  const reason = await response.json().then((answer) => answer.error, () => response.statusText);
  throw refused(reason, { status: response.status });
}

// Send a request, and read its answer with `read`. All requests of the page go this way.
// A request that is lost, or of which the answer is lost, is sent again after a pause, unless `isOnce`: to add a
// photograph twice would open it twice. All others have the same effect if they are sent twice.
// The error has either the `status` of a refusal, or `isLost`, or `isUnreadable`, if the file that is sent can't be read.
async function request(path, { isOnce = false, ...options }, read) {
  const pauses = isOnce ? [] : PAUSES;
  for (let tries = 0; ; tries += 1) {
    try {
      const answer = await attempt(path, options, read);
      reach(true);
      return answer;
    } catch (error) {
      if (error.status) reach(true);
      if (!error.isLost) throw error;
      if (tries === pauses.length) {
        reach(false);
        throw error;
      }
    }
    await pause(pauses[tries]);
  }
}

const asJson = (response) => response.json();
const asBlob = (response) => response.blob();

export const texts = (language) => request(`/static/texts/${language}.json`, {}, asJson);

const call = (path, options, read) => request(
  path, { ...options, headers: { "X-Toolbox-Token": readToken(), "X-Toolbox-Page": PAGE } }, read,
);
const json = (path, options = {}) => call(path, options, asJson);
const short = (path, options = {}) => json(path, { limit: LIMIT, ...options });
const photo = (id) => `/api/photos/${encodeURIComponent(id)}`;

export const choices = () => short("/api/choices");
export const list = () => short("/api/photos");
export const add = (file, name) =>
  json(`/api/photos?name=${encodeURIComponent(name)}`, { method: "POST", body: file, isOnce: true });
export const picture = (id, what) => call(`${photo(id)}/${what}`, {}, asBlob);
export const setMarks = (id, png) => short(`${photo(id)}/marks`, { method: "PUT", body: png });
export const setMask = (id, png) => json(`${photo(id)}/mask`, { method: "PUT", body: png });
export const setHints = (id, png) => short(`${photo(id)}/hints`, { method: "PUT", body: png });
export const removeHints = (id) => short(`${photo(id)}/hints`, { method: "DELETE" });
export const setReference = (id, file) =>
  json(`${photo(id)}/reference?name=${encodeURIComponent(file.name || "photo.png")}`, { method: "PUT", body: file });
export const removeReference = (id) => short(`${photo(id)}/reference`, { method: "DELETE" });
export const colours = (id, x, y) => json(`${photo(id)}/colors?x=${x}&y=${y}`);
export const damage = (id, sensitivity) => picture(id, `damage?sensitivity=${sensitivity}`);
export const cancel = (id) => short(`${photo(id)}/restore`, { method: "DELETE" });
export const restore = (id, settings) => short(`${photo(id)}/restore`, { method: "POST", body: JSON.stringify(settings) });

// Close a photograph. One that is closed already may be the effect of a request whose answer was lost.
export const remove = (id) => call(photo(id), { method: "DELETE", limit: LIMIT }, () => null).catch((error) => {
  if (error.status !== 404) throw error;
});

// `strokes` is a PNG of the strokes at a small size, or null if there are none.
export const quick = (id, settings, strokes) => {
  const query = `settings=${encodeURIComponent(JSON.stringify(settings))}`;
  return call(`${photo(id)}/quick?${query}`, { method: "POST", body: strokes }, asBlob);
};

export const resultFile = (id) => call(`${photo(id)}/result`, {}, async (response) => {
  const [type, tag] = ["content-type", "etag"].map((name) => response.headers.get(name) || "");
  return { blob: await response.blob(), type, tag };
});

// Decode a picture without a change of its values.
export const decode = (blob) => createImageBitmap(blob, { colorSpaceConversion: "none" });
export const bitmap = async (id, what) => decode(await picture(id, what));

// Show a picture in an <img>, or nothing.
export function showBlob(image, blob) {
  if (image.src) URL.revokeObjectURL(image.src);
  image.removeAttribute("src");
  if (blob) image.src = URL.createObjectURL(blob);
}
