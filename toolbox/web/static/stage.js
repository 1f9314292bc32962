// The photograph with its marks: zoom, pan, brush, eraser, lasso, undo.

const MARK = "#ff2a1f";
const MAX_UNDO = 30;
const $ = (id) => document.getElementById(id);

export class Stage {
  constructor(onChange) {
    this.onChange = onChange;
    this.stage = $("stage");
    this.sheet = $("sheet");
    this.photo = $("photo");
    this.restored = $("restored");
    this.mask = $("mask");
    this.cursor = $("cursor");
    this.tool = "move";
    this.size = 24;
    this.scale = 1;
    this.x = this.y = 0;
    this.pointers = new Map();
    this.undone = [];
    this.done = [];
    this.key = null; // the brush of the keyboard, in pixels of the photograph
    this.listen();
  }

  show(photo, mask) {
    for (const canvas of [this.photo, this.mask, this.restored]) {
      canvas.width = photo.width;
      canvas.height = photo.height;
    }
    this.photo.getContext("2d").drawImage(photo, 0, 0);
    this.loadMask(mask);
    this.restored.hidden = true;
    this.done = [];
    this.undone = [];
    this.key = null;
    this.fit();
  }

  showResult(picture) {
    this.restored.hidden = !picture;
    if (picture) this.restored.getContext("2d").drawImage(picture, 0, 0);
  }

  // The restored photograph is right of the slider, the original left of it.
  compare(percent) {
    this.restored.style.clipPath = `inset(0 0 0 ${percent}%)`;
  }

  // White pixels of a mask become marks.
  loadMask(picture) {
    const context = this.mask.getContext("2d", { willReadFrequently: true });
    context.clearRect(0, 0, this.mask.width, this.mask.height);
    context.drawImage(picture, 0, 0);
    const data = context.getImageData(0, 0, this.mask.width, this.mask.height);
    const pixels = data.data;
    for (let i = 0; i < pixels.length; i += 4) {
      const lost = pixels[i] >= 128 && pixels[i + 3] >= 128;
      pixels[i] = 255;
      pixels[i + 1] = 42;
      pixels[i + 2] = 31;
      pixels[i + 3] = lost ? 255 : 0;
    }
    context.putImageData(data, 0, 0);
  }

  // The marks as a PNG: white is lost, without half-tones at the rim of a stroke.
  async maskPng() {
    const canvas = document.createElement("canvas");
    canvas.width = this.mask.width;
    canvas.height = this.mask.height;
    const context = canvas.getContext("2d");
    const data = this.pixels();
    for (let i = 0; i < data.data.length; i += 4) {
      const value = data.data[i + 3] >= 128 ? 255 : 0;
      data.data[i] = data.data[i + 1] = data.data[i + 2] = value;
      data.data[i + 3] = 255;
    }
    context.putImageData(data, 0, 0);
    return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  }

  pixels() {
    const context = this.mask.getContext("2d", { willReadFrequently: true });
    return context.getImageData(0, 0, this.mask.width, this.mask.height);
  }

  setTool(tool) {
    this.tool = tool;
    this.stage.dataset.tool = tool;
  }

  fit() {
    const box = this.stage.getBoundingClientRect();
    this.scale = Math.min(box.width / this.photo.width, box.height / this.photo.height);
    this.x = (box.width - this.photo.width * this.scale) / 2;
    this.y = (box.height - this.photo.height * this.scale) / 2;
    this.place();
  }

  zoom(factor, x, y) {
    const box = this.stage.getBoundingClientRect();
    x ??= box.width / 2;
    y ??= box.height / 2;
    const scale = Math.min(40, Math.max(0.02, this.scale * factor));
    this.x = x - ((x - this.x) * scale) / this.scale;
    this.y = y - ((y - this.y) * scale) / this.scale;
    this.scale = scale;
    this.place();
  }

  place() {
    this.sheet.style.transform = `translate(${this.x}px, ${this.y}px) scale(${this.scale})`;
    this.sheet.style.imageRendering = this.scale > 3 ? "pixelated" : "auto";
    this.moveCursor();
  }

  moveCursor() {
    this.cursor.hidden = !this.key;
    if (!this.key) return;
    const side = Math.max(6, this.size * this.scale);
    Object.assign(this.cursor.style, {
      width: `${side}px`, height: `${side}px`,
      left: `${this.x + this.key.x * this.scale - side / 2}px`, top: `${this.y + this.key.y * this.scale - side / 2}px`,
    });
  }

  // Change the marks by `draw`, which can be undone.
  change(draw) {
    this.remember();
    draw(this.mask.getContext("2d", { willReadFrequently: true }));
    this.finish();
  }

  remember() {
    this.done.push(this.pixels());
    if (this.done.length > MAX_UNDO) this.done.shift();
    this.undone = [];
  }

  finish() {
    this.onChange();
  }

  undo(from = this.done, to = this.undone) {
    const state = from.pop();
    if (!state) return;
    to.push(this.pixels());
    this.mask.getContext("2d", { willReadFrequently: true }).putImageData(state, 0, 0);
    this.finish();
  }

  redo() {
    this.undo(this.undone, this.done);
  }

  clear() {
    this.change((context) => context.clearRect(0, 0, this.mask.width, this.mask.height));
  }

  point(event) {
    const box = this.stage.getBoundingClientRect();
    return { x: (event.clientX - box.left - this.x) / this.scale, y: (event.clientY - box.top - this.y) / this.scale };
  }

  stroke(from, to) {
    const context = this.mask.getContext("2d", { willReadFrequently: true });
    context.globalCompositeOperation = this.tool === "eraser" ? "destination-out" : "source-over";
    context.strokeStyle = MARK;
    context.lineWidth = this.size;
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    context.moveTo(from.x, from.y);
    context.lineTo(to.x, to.y);
    context.stroke();
    context.globalCompositeOperation = "source-over";
  }

  listen() {
    this.stage.addEventListener("pointerdown", (event) => this.down(event));
    this.stage.addEventListener("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel"]) this.stage.addEventListener(name, (event) => this.up(event));
    this.stage.addEventListener("wheel", (event) => {
      event.preventDefault();
      const box = this.stage.getBoundingClientRect();
      this.zoom(Math.exp(-event.deltaY / 400), event.clientX - box.left, event.clientY - box.top);
    }, { passive: false });
    this.stage.addEventListener("keydown", (event) => this.press(event));
    this.stage.addEventListener("blur", () => { this.key = null; this.moveCursor(); });
    new ResizeObserver(() => this.photo.width && this.fit()).observe(this.stage);
  }

  down(event) {
    this.stage.focus({ preventScroll: true });
    this.stage.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    this.key = null;
    this.moveCursor();
    if (this.pointers.size > 1) {
      if (this.path) this.cancelStroke();
      return;
    }
    if (this.tool === "move" || event.button === 1) return;
    this.remember();
    this.path = [this.point(event)];
    if (this.tool !== "lasso") this.stroke(this.path[0], this.path[0]);
  }

  // A second finger turns a stroke into zooming.
  cancelStroke() {
    this.path = null;
    this.mask.getContext("2d", { willReadFrequently: true }).putImageData(this.done.pop(), 0, 0);
  }

  move(event) {
    const last = this.pointers.get(event.pointerId);
    if (!last) return;
    const now = { x: event.clientX, y: event.clientY };
    if (this.pointers.size === 2) {
      const other = [...this.pointers].find(([id]) => id !== event.pointerId)[1];
      const box = this.stage.getBoundingClientRect();
      const before = Math.hypot(last.x - other.x, last.y - other.y);
      const after = Math.hypot(now.x - other.x, now.y - other.y);
      this.x += (now.x - last.x) / 2;
      this.y += (now.y - last.y) / 2;
      this.zoom(after / Math.max(1, before), (now.x + other.x) / 2 - box.left, (now.y + other.y) / 2 - box.top);
    } else if (this.path) {
      const point = this.point(event);
      if (this.tool !== "lasso") this.stroke(this.path.at(-1), point);
      this.path.push(point);
    } else if (this.tool === "move") {
      this.x += now.x - last.x;
      this.y += now.y - last.y;
      this.place();
    }
    this.pointers.set(event.pointerId, now);
  }

  up(event) {
    this.pointers.delete(event.pointerId);
    if (!this.path) return;
    if (this.tool === "lasso") this.fillPath();
    this.path = null;
    this.finish();
  }

  fillPath() {
    const context = this.mask.getContext("2d", { willReadFrequently: true });
    context.fillStyle = MARK;
    context.beginPath();
    for (const point of this.path) context.lineTo(point.x, point.y);
    context.closePath();
    context.fill();
  }

  // Arrow keys move the brush, the space bar paints.
  press(event) {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key in steps) {
      event.preventDefault();
      this.key ??= { x: this.photo.width / 2, y: this.photo.height / 2 };
      const step = Math.max(1, this.size / 2);
      this.key.x = Math.min(this.photo.width, Math.max(0, this.key.x + steps[event.key][0] * step));
      this.key.y = Math.min(this.photo.height, Math.max(0, this.key.y + steps[event.key][1] * step));
      this.moveCursor();
    } else if (event.key === " ") {
      event.preventDefault();
      if (this.key && this.tool !== "move") this.change(() => this.stroke(this.key, this.key));
    }
  }
}
