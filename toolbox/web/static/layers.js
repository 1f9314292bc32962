// Layers over the photograph that people draw on, and the steps for undo.

const MAX_BYTES = 300e6; // of the pixels that undo keeps
const MAX_STEPS = 100;

export class Layer {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { willReadFrequently: true });
    // The layer before the current stroke, so that a step keeps the pixels of its stroke only.
    this.saved = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  }

  resize(width, height) {
    this.canvas.width = this.saved.canvas.width = width;
    this.canvas.height = this.saved.canvas.height = height;
  }

  get whole() {
    return { x: 0, y: 0, width: this.canvas.width, height: this.canvas.height };
  }

  pixels(box = this.whole) {
    return this.context.getImageData(box.x, box.y, box.width, box.height);
  }

  // Whether something inside a box was changed since the last commit.
  isChanged(box) {
    const before = this.saved.getImageData(box.x, box.y, box.width, box.height).data;
    return this.pixels(box).data.some((value, i) => value !== before[i]);
  }

  // Keep what was drawn inside a box; return the step that undoes it.
  commit(box) {
    const before = this.saved.getImageData(box.x, box.y, box.width, box.height);
    this.saved.putImageData(this.pixels(box), box.x, box.y);
    return { layer: this, box, pixels: before };
  }

  // Undo what was drawn since the last commit.
  revert(box = this.whole) {
    this.context.putImageData(this.saved.getImageData(box.x, box.y, box.width, box.height), box.x, box.y);
  }

  swap({ box, pixels }) {
    const now = this.pixels(box);
    for (const context of [this.context, this.saved]) context.putImageData(pixels, box.x, box.y);
    return { layer: this, box, pixels: now };
  }

  get isEmpty() { return isTransparent(this.pixels().data, 128); }

  png() { return toPng(this.canvas); }

  // The layer as a PNG of so many pixels at most; null if nothing is drawn on it.
  async smallPng(pixels) {
    const { width, height } = this.canvas;
    const scale = Math.min(1, Math.sqrt(pixels / (width * height)));
    const small = document.createElement("canvas");
    [small.width, small.height] = [width, height].map((side) => Math.max(1, Math.round(side * scale)));
    const context = small.getContext("2d", { willReadFrequently: true });
    context.imageSmoothingQuality = "high"; // averages, so that thin strokes stay
    context.drawImage(this.canvas, 0, 0, small.width, small.height);
    return isTransparent(context.getImageData(0, 0, small.width, small.height).data, 1) ? null : toPng(small);
  }
}

// The number of the kind of damage of each pixel that is repaired, 0 elsewhere.
export class Kinds {
  resize(width, height) {
    this.width = width;
    this.numbers = new Uint8Array(width * height);
  }

  // Change the numbers inside a box; `change` gets the number and the index in the box. Return the steps that undo it.
  change(box, change) {
    const before = this.read(box);
    const data = before.map(change);
    return data.some((number, i) => number !== before[i]) ? [this.swap({ box, pixels: { data } })] : [];
  }

  read({ x, y, width, height }) {
    const data = new Uint8Array(width * height);
    for (let row = 0; row < height; row += 1) {
      const start = (y + row) * this.width + x;
      data.set(this.numbers.subarray(start, start + width), row * width);
    }
    return data;
  }

  swap({ box, pixels }) {
    const { x, y, width, height } = box;
    const data = this.read(box);
    for (let row = 0; row < height; row += 1) {
      this.numbers.set(pixels.data.subarray(row * width, (row + 1) * width), (y + row) * this.width + x);
    }
    return { layer: this, box, pixels: { data } };
  }
}

const toPng = (canvas) => new Promise((resolve) => { canvas.toBlob(resolve, "image/png"); });

// Whether every pixel has less than this opacity, of 255.
function isTransparent(data, opacity) {
  for (let i = 3; i < data.length; i += 4) if (data[i] >= opacity) return false;
  return true;
}

// The box around points with a margin, inside a layer; null if nothing of it is inside.
export function boxAround(points, margin, { width, height }) {
  const limit = (value, most) => Math.min(most, Math.max(0, value));
  const [xs, ys] = [points.map((point) => point.x), points.map((point) => point.y)];
  const x = limit(Math.floor(Math.min(...xs) - margin), width);
  const y = limit(Math.floor(Math.min(...ys) - margin), height);
  const box = {
    x, y,
    width: limit(Math.ceil(Math.max(...xs) + margin), width) - x,
    height: limit(Math.ceil(Math.max(...ys) + margin), height) - y,
  };
  return box.width > 0 && box.height > 0 ? box : null;
}

export class History {
  constructor() {
    this.clear();
  }

  clear() {
    this.done = [];
    this.undone = [];
  }

  // A step is a list of the changes of layers.
  add(step) {
    this.done.push(step);
    this.undone = [];
    const bytes = (one) => one.reduce((sum, change) => sum + change.pixels.data.length, 0);
    let total = this.done.reduce((sum, one) => sum + bytes(one), 0);
    while (this.done.length > 1 && (total > MAX_BYTES || this.done.length > MAX_STEPS)) total -= bytes(this.done.shift());
  }

  // Return the layers that changed.
  undo(from = this.done, to = this.undone) {
    const step = from.pop();
    if (!step) return [];
    to.push(step.map((change) => change.layer.swap(change)));
    return step.map((change) => change.layer);
  }

  redo() {
    return this.undo(this.undone, this.done);
  }
}
