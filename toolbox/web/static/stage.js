// The photograph with its marks and strokes: zoom, pan, brush, eraser, lasso, strokes of colour, undo.

import { Input } from "./input.js";
import { History, Kinds, Layer, boxAround } from "./layers.js";
import { $ } from "./state.js";

const MARK = "#ff2a1f";
const MARK_RGB = [255, 42, 31];

class Stage {
  constructor() {
    // Gets the layers that changed.
    this.onChange = () => {};
    // Gets the position where a stroke of colour begins.
    this.onColour = () => {};
    // Gets the pixel that was clicked with the tool that moves.
    this.onTap = () => {};
    // Called when the photograph was moved or enlarged.
    this.onPlace = () => {};
    this.stage = $("stage");
    this.sheet = $("sheet");
    this.photo = $("photo");
    this.restored = $("restored");
    this.before = $("before");
    this.hasCut = false;
    this.cursor = $("cursor");
    this.marks = new Layer($("mask"));
    this.kinds = new Kinds(); // of the damage below the marks that is repaired instead of filled
    this.strokes = new Layer($("strokes"));
    this.history = new History();
    this.tool = "move";
    this.colour = "#c04040";
    this.size = 24;
    this.scale = 1;
    this.isFitted = true; // whether the whole photograph is shown
    this.x = this.y = 0;
    this.path = null; // of the current stroke
    this.key = null; // the brush of the keyboard, in pixels of the photograph
    new Input(this);
  }

  show(photo, marks, strokes) {
    for (const canvas of [this.photo, this.restored]) {
      canvas.width = photo.width;
      canvas.height = photo.height;
    }
    for (const layer of [this.marks, this.kinds, this.strokes]) layer.resize(photo.width, photo.height);
    this.photo.getContext("2d").drawImage(photo, 0, 0);
    this.drawMarks(marks);
    if (strokes) this.strokes.context.drawImage(strokes, 0, 0);
    this.strokes.commit(this.strokes.whole);
    this.restored.hidden = true;
    this.history.clear();
    this.lastStroke = null;
    this.key = null;
    this.fit();
  }

  // `before` is the print that was cut out of the photograph, if the result shows it alone.
  showResult(picture, before = null) {
    this.restored.hidden = !picture;
    this.hasCut = Boolean(before);
    for (const [canvas, pixels] of [[this.restored, picture], [this.before, before]]) {
      if (!pixels) continue;
      canvas.width = pixels.width;
      canvas.height = pixels.height;
      canvas.getContext("2d").drawImage(pixels, 0, 0);
    }
    this.showCut();
  }

  // Marks and strokes belong to the whole photograph, so tools that draw show it instead of the print.
  get isCut() { return this.hasCut && this.tool === "move"; }

  // What the line between before and after divides.
  get compared() { return this.isCut ? this.before : this.photo; }

  // Put the colours of a small picture over the result; the brightness of the result stays.
  tint(picture) {
    const context = this.restored.getContext("2d");
    context.globalCompositeOperation = "color";
    context.drawImage(picture, 0, 0, this.restored.width, this.restored.height);
    context.globalCompositeOperation = "source-over";
  }

  showCut() {
    const before = this.sheet.className;
    this.sheet.className = this.isCut ? "cut" : this.hasCut ? "whole" : "";
    if (this.photo.width && this.sheet.className !== before) this.fit();
  }

  // Draw marks that are a picture as that of `marksPng`; return the step that undoes it.
  drawMarks(picture) {
    const { context, whole } = this.marks;
    context.clearRect(0, 0, whole.width, whole.height);
    context.drawImage(picture, 0, 0);
    const data = this.marks.pixels();
    const pixels = data.data;
    const numbers = new Uint8Array(data.width * data.height);
    for (let i = 0; i < pixels.length; i += 4) {
      const lost = pixels[i] >= 128 && pixels[i + 3] >= 128;
      if (lost) numbers[i / 4] = 255 - pixels[i + 1];
      [pixels[i], pixels[i + 1], pixels[i + 2]] = MARK_RGB;
      pixels[i + 3] = lost ? 255 : 0;
    }
    return this.replaceMarks(data, numbers);
  }

  // Replace the pixels of the marks and the numbers of their kinds of damage; return the step that undoes it.
  replaceMarks(data, numbers) {
    const { context, whole } = this.marks;
    context.putImageData(data, 0, 0);
    return [this.marks.commit(whole), ...this.kinds.change(whole, (_, i) => numbers[i])];
  }

  // Replace the marks by a picture, which can be undone.
  loadMarks(picture) {
    this.history.add(this.drawMarks(picture));
  }

  // Mark damage, which can be undone. `forEachPixel` calls a function with the index of each pixel and its kind.
  markDamage(forEachPixel) {
    const data = this.marks.pixels();
    const numbers = this.kinds.read(this.marks.whole);
    forEachPixel((i, kind) => {
      data.data.set([...MARK_RGB, 255], 4 * i);
      numbers[i] = kind;
    });
    this.keep(this.replaceMarks(data, numbers));
  }

  // The marks as a PNG for files: white is lost, without half-tones at the rim of a stroke.
  maskPng() {
    return this.marksPng(new Uint8Array(this.kinds.numbers.length));
  }

  // The marks as a PNG for the server: where damage is repaired, green is 255 minus the number of its kind.
  async marksPng(numbers = this.kinds.numbers) {
    const data = this.marks.pixels();
    for (let i = 0; i < data.data.length; i += 4) {
      const value = data.data[i + 3] >= 128 ? 255 : 0;
      data.data[i] = data.data[i + 1] = data.data[i + 2] = value;
      data.data[i + 1] -= numbers[i / 4];
      data.data[i + 3] = 255;
    }
    const copy = new Layer(document.createElement("canvas"));
    copy.resize(data.width, data.height);
    copy.context.putImageData(data, 0, 0);
    return copy.png();
  }

  setTool(tool) {
    this.tool = tool;
    this.stage.dataset.tool = tool;
    this.showCut();
  }

  fit() {
    const box = this.stage.getBoundingClientRect();
    const { width, height } = this.compared;
    this.scale = Math.min(box.width / width, box.height / height);
    this.x = (box.width - width * this.scale) / 2;
    this.y = (box.height - height * this.scale) / 2;
    this.isFitted = true;
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
    this.isFitted = false;
    this.place();
  }

  place() {
    this.sheet.style.transform = `translate(${this.x}px, ${this.y}px) scale(${this.scale})`;
    this.sheet.style.imageRendering = this.scale > 3 ? "pixelated" : "auto";
    this.moveCursor();
    this.onPlace();
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

  // The layers that the tool draws on: the eraser removes marks and strokes.
  layers() {
    return { eraser: [this.marks, this.strokes], colour: [this.strokes] }[this.tool] || [this.marks];
  }

  // Keep what was drawn on layers inside a box; return the step that undoes it. Kinds of damage are kept below marks only.
  commit(layers, box) {
    const step = layers.map((layer) => layer.commit(box));
    if (!layers.includes(this.marks)) return step;
    const { data } = this.marks.pixels(box);
    return [...step, ...this.kinds.change(box, (number, i) => (data[4 * i + 3] >= 128 ? number : 0))];
  }

  // Keep what was drawn along a path as one step.
  finish(path) {
    const box = boxAround(path, this.size / 2 + 2, this.photo);
    if (!box) return;
    const step = this.commit(this.layers().filter((layer) => layer.isChanged(box)), box);
    this.lastStroke = this.tool === "colour" ? { path, step, size: this.size } : null;
    if (!step.length) return;
    this.history.add(step);
    this.onChange(step.map((change) => change.layer));
  }

  // Add a step for undo that is no stroke.
  keep(step) {
    this.history.add(step);
    this.changed(step.map((change) => change.layer));
  }

  undo() { this.changed(this.history.undo()); }

  redo() { this.changed(this.history.redo()); }

  changed(layers) {
    this.lastStroke = null;
    if (layers.length) this.onChange(layers);
  }

  clear(layer) {
    layer.context.clearRect(0, 0, layer.canvas.width, layer.canvas.height);
    this.keep(this.commit([layer], layer.whole));
  }

  // Use a colour, also for the last stroke, if nothing was drawn after it.
  setColour(colour) {
    this.colour = colour;
    const last = this.lastStroke;
    if (!last || this.history.done.at(-1) !== last.step) return;
    this.history.undo();
    const { tool, size } = this;
    Object.assign(this, { tool: "colour", size: last.size });
    this.drawPath(last.path);
    this.finish(last.path);
    Object.assign(this, { tool, size });
  }

  point(event) {
    const box = this.stage.getBoundingClientRect();
    return { x: (event.clientX - box.left - this.x) / this.scale, y: (event.clientY - box.top - this.y) / this.scale };
  }

  drawPath(path) {
    this.stroke(path[0], path[0]);
    for (let i = 1; i < path.length; i += 1) this.stroke(path[i - 1], path[i]);
  }

  stroke(from, to) {
    for (const { context } of this.layers()) {
      context.globalCompositeOperation = this.tool === "eraser" ? "destination-out" : "source-over";
      context.fillStyle = context.strokeStyle = this.tool === "colour" ? this.colour : MARK;
      context.lineWidth = this.size;
      context.lineCap = context.lineJoin = "round";
      context.beginPath();
      if (from.x === to.x && from.y === to.y) {
        // Some browsers draw nothing for a line without a length.
        context.arc(from.x, from.y, this.size / 2, 0, 2 * Math.PI);
        context.fill();
      } else {
        context.moveTo(from.x, from.y);
        context.lineTo(to.x, to.y);
        context.stroke();
      }
      context.globalCompositeOperation = "source-over";
    }
  }

  begin(point) {
    this.path = [point];
    if (this.tool !== "lasso") this.stroke(point, point);
    if (this.tool === "colour") this.onColour(point.x / this.photo.width, point.y / this.photo.height);
  }

  fillPath() {
    const { context } = this.marks;
    context.fillStyle = MARK;
    context.beginPath();
    for (const point of this.path) context.lineTo(point.x, point.y);
    context.closePath();
    context.fill();
  }
}

export const stage = new Stage();
