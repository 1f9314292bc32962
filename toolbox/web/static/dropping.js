// The files of what is dropped on the page. Folders are read with their subfolders.

let suffixes = []; // of the files in folders that are photographs

// `offered` is what the server offers.
export function offer(offered) {
  suffixes = offered.suffixes;
}

const promised = (work) => new Promise((resolve, reject) => { work(resolve, reject); });
const isHidden = (entry) => entry.name.startsWith(".");
const isPhoto = (entry) => suffixes.some((suffix) => entry.name.toLowerCase().endsWith(suffix));

// What is directly in a folder, sorted by name. A browser lists it in parts.
async function list(folder) {
  const reader = folder.createReader();
  const found = [];
  for (;;) {
    const part = await promised((resolve, reject) => reader.readEntries(resolve, reject));
    if (!part.length) return found.sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
    found.push(...part);
  }
}

async function readFolder(folder, result) {
  let entries = [];
  try {
    entries = await list(folder);
  } catch {
    result.unreadable.push(folder.name);
  }
  const isShown = (entry) => !isHidden(entry);
  for (const entry of entries.filter(isShown)) {
    if (entry.isDirectory) await readFolder(entry, result);
    else if (isPhoto(entry)) result.files.push(await promised((resolve, reject) => entry.file(resolve, reject)));
    else result.leftOut += 1;
  }
}

// Return the files that were dropped, how many files of folders are no photographs, and the names of the folders that
// can't be read. A browser gives the entries of a drop only before the first pause.
export async function read(transfer) {
  const files = [...transfer.files];
  const entries = [...transfer.items].filter((item) => item.kind === "file").map((item) => item.webkitGetAsEntry());
  const result = { files: [], leftOut: 0, unreadable: [] };
  if (!entries.some((entry) => entry?.isDirectory)) return { ...result, files };
  for (const [index, entry] of entries.entries()) {
    if (entry?.isDirectory) await readFolder(entry, result);
    else result.files.push(files[index]);
  }
  return result;
}
