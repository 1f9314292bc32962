// Pointers and keys over the photograph: draw, move, zoom with two fingers; arrow keys and the space bar draw, too.

export class Input {
  constructor(stage) {
    this.stage = stage;
    this.pointers = new Map();
    this.tap = null; // where a click began that may not become a movement
    this.listen();
  }

  listen() {
    const { stage } = this;
    stage.stage.addEventListener("pointerdown", (event) => this.down(event));
    stage.stage.addEventListener("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel"]) stage.stage.addEventListener(name, (event) => this.up(event));
    stage.stage.addEventListener("wheel", (event) => {
      event.preventDefault();
      const box = stage.stage.getBoundingClientRect();
      stage.zoom(Math.exp(-event.deltaY / 400), event.clientX - box.left, event.clientY - box.top);
    }, { passive: false });
    stage.stage.addEventListener("keydown", (event) => this.press(event));
    stage.stage.addEventListener("blur", () => { stage.key = null; stage.moveCursor(); });
    new ResizeObserver(() => {
      if (stage.photo.width && stage.isFitted) stage.fit();
      else stage.place();
    }).observe(stage.stage);
  }

  down(event) {
    const { stage } = this;
    stage.stage.focus({ preventScroll: true });
    stage.stage.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    stage.key = null;
    stage.moveCursor();
    this.tap = stage.tool === "move" && this.pointers.size === 1 ? { x: event.clientX, y: event.clientY } : null;
    if (this.pointers.size > 1) {
      // A second finger turns a stroke into zooming.
      if (stage.path) for (const layer of stage.layers()) layer.revert();
      stage.path = null;
      return;
    }
    if (stage.tool === "move" || event.button === 1) return;
    stage.begin(stage.point(event));
  }

  move(event) {
    const { stage } = this;
    const last = this.pointers.get(event.pointerId);
    if (!last) return;
    const now = { x: event.clientX, y: event.clientY };
    if (this.pointers.size === 2) {
      const other = [...this.pointers].find(([id]) => id !== event.pointerId)[1];
      const box = stage.stage.getBoundingClientRect();
      const before = Math.hypot(last.x - other.x, last.y - other.y);
      const after = Math.hypot(now.x - other.x, now.y - other.y);
      stage.x += (now.x - last.x) / 2;
      stage.y += (now.y - last.y) / 2;
      stage.zoom(after / Math.max(1, before), (now.x + other.x) / 2 - box.left, (now.y + other.y) / 2 - box.top);
    } else if (stage.path) {
      const point = stage.point(event);
      if (stage.tool !== "lasso") stage.stroke(stage.path.at(-1), point);
      stage.path.push(point);
    } else if (stage.tool === "move") {
      stage.x += now.x - last.x;
      stage.y += now.y - last.y;
      stage.isFitted = false;
      stage.place();
    }
    this.pointers.set(event.pointerId, now);
  }

  up(event) {
    const { stage } = this;
    this.pointers.delete(event.pointerId);
    const { tap } = this;
    this.tap = null;
    if (tap && !stage.isCut && Math.hypot(tap.x - event.clientX, tap.y - event.clientY) < 5) stage.onTap(stage.point(event));
    if (!stage.path) return;
    if (stage.tool === "lasso") stage.fillPath();
    const path = stage.path;
    stage.path = null;
    stage.finish(path);
  }

  // Arrow keys move the brush, the space bar paints.
  press(event) {
    const { stage } = this;
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key in steps) {
      event.preventDefault();
      stage.key ??= { x: stage.photo.width / 2, y: stage.photo.height / 2 };
      const step = Math.max(1, stage.size / 2);
      stage.key.x = Math.min(stage.photo.width, Math.max(0, stage.key.x + steps[event.key][0] * step));
      stage.key.y = Math.min(stage.photo.height, Math.max(0, stage.key.y + steps[event.key][1] * step));
      stage.moveCursor();
    } else if (event.key === " ") {
      event.preventDefault();
      if (stage.key && stage.tool === "move" && !stage.isCut) stage.onTap(stage.key);
      if (!stage.key || ["move", "lasso"].includes(stage.tool)) return;
      stage.begin({ ...stage.key });
      const path = stage.path;
      stage.path = null;
      stage.finish(path);
    }
  }
}
