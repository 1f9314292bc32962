"""Measure how fast the page of `toolbox serve` answers, against `toolbox restore` of the same photograph.

    OMP_NUM_THREADS=1 python -m benchmarks page

``command`` is `toolbox restore` in a process that has loaded the weights and restored a photograph before. ``first`` is
the first result of a photograph in the page: from the request to the last byte of the result. The others are changes:
the layer is sent, the photograph restored, the result fetched. ``mask`` marks one more scratch far from the hole;
``near`` marks one in the surroundings that the hole is filled from, so that the hole must be filled again. ``open`` is
the upload, with the search for a lost region. ``likely`` is what the page asks for when a person chooses the tool for
colours and touches the photograph: small pictures of the colourings, and the colours that are likely there.

``shown`` is a stroke of colour, until the person sees it: it ends with the small picture whose colours the page lays
over the last result. ``hint`` is what follows in the background, until “Save” has the file: the layer of strokes is
sent, the photograph restored, and the result fetched. ``next`` is another stroke, until it is shown.

Each round has another photograph, so that nothing is remembered from the round before. With ``--whole``, the photograph
has no hole, and there is no ``mask`` and no ``near``.
"""

from __future__ import annotations

import json
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np

from benchmarks.common import timing
from benchmarks.restoring import make_damaged_photo, make_photo
from toolbox.guidance.hints import working_size
from toolbox.hooks import catalog
from toolbox.imaging import io
from toolbox.inference.batch import restore_all
from toolbox.inference.loading import load_restorer
from toolbox.inference.options import RestoreOptions
from toolbox.inference.output_paths import plan_jobs
from toolbox.inference.restorer import Restorer
from toolbox.web.album import Album
from toolbox.web.server import VARIANTS, Service

WEIGHTS = "luma"
FILL = "auto"
# A photograph waits at most this long, in seconds.
LIMIT = 600


class Page:
    """The calls of the page for one photograph."""

    def __init__(self, service: Service, photo: np.ndarray, folder: Path) -> None:
        """Prepare a photograph (H, W) uint8; `open` sends it."""
        self._service, self._folder, self.size = service, folder, photo.shape
        io.write_png(folder / "photo.png", photo)
        self.photo = folder / "photo.png"
        self.id = ""

    def open(self) -> None:
        """Send the photograph."""
        self.id = json.loads(self._call("POST", "/api/photos?name=photo.png", self.photo.read_bytes()))["id"]

    def restore(self) -> None:
        """Restore the photograph and fetch the result."""
        self._call("POST", f"/api/photos/{self.id}/restore", b"{}")
        end = time.monotonic() + LIMIT
        while (entry := self._service.album.entry(self.id)).state != "restored":
            if entry.state == "failed" or time.monotonic() > end:
                raise click.ClickException(entry.reason or "the photograph was not restored in time")
            time.sleep(0.005)  # a shorter pause would take much of the time of the processor
        self._call("GET", f"/api/photos/{self.id}/result")

    def draw(self, layer: str, png: bytes) -> None:
        """Send strokes of colour ("hints") or marks ("mask"), and restore the photograph."""
        self._call("PUT", f"/api/photos/{self.id}/{layer}", png)
        self.restore()

    def choose_colors(self) -> None:
        """Fetch the small pictures of the colourings, and the likely colours at a point."""
        for number in range(1, VARIANTS + 1):
            self._call("GET", f"/api/photos/{self.id}/variants/{number}")
        self._call("GET", f"/api/photos/{self.id}/colors?x=0.2&y=0.7")

    def show(self, png: bytes) -> None:
        """Send strokes of colour at a small size, and fetch the small picture with their colours."""
        self._call("POST", f"/api/photos/{self.id}/quick", png)

    def _call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        url = f"http://127.0.0.1:{self._service.port}{path}"
        headers = {"X-Toolbox-Token": self._service.token}
        with urllib.request.urlopen(urllib.request.Request(url, body, headers, method=method)) as response:
            return bytes(response.read())


@contextmanager
def serving(folder: Path) -> Iterator[Service]:
    """Serve a new album in a thread."""
    folder.mkdir()
    service = Service(
        album=Album(folder), catalog=catalog.load(), weights=WEIGHTS, device="cpu", host="127.0.0.1", port=0
    )
    service.prepare()
    thread = threading.Thread(target=service.run)
    thread.start()
    try:
        while not service.is_running:
            time.sleep(0.01)
        yield service
    finally:
        service.stop()
        thread.join()


def stroke(size: tuple[int, ...], *, count: int = 1, is_small: bool = False) -> bytes:
    """Return strokes of colour as PNG, transparent elsewhere; with `is_small` as the page sends them to show them."""
    height, width = size
    layer = np.zeros((height, width, 4), np.uint8)
    for number in range(count):
        row = height * 3 // 4 - number * height // 8
        layer[row : row + 8, width // 8 : width // 4] = (40, 60, 190, 255)
    if is_small:
        small = cv2.resize(layer, working_size(size)[::-1], interpolation=cv2.INTER_AREA)
        small[small[..., 3] > 0, :3] = (40, 60, 190)  # as a browser, which averages colours by their opacity
        return _png(small)
    return _png(layer)


def marks(mask: np.ndarray, *, is_near: bool) -> bytes:
    """Return a mask with one more scratch, near the hole or far from it, as PNG."""
    height, width = mask.shape
    changed = mask.astype(np.uint8) * 255
    row, column = (height * 2 // 3, width // 2) if is_near else (height * 19 // 20, width * 4 // 5)
    changed[row : row + 6, column : column + width // 8] = 255
    return _png(changed)


def _png(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


def measure(height: int, width: int, rounds: int, *, is_whole: bool = False) -> dict[str, Any]:
    """Return the seconds of each variant in each round, by both clocks, and their ratios to the command."""
    names = ["command", "open", "first", "likely", "shown", "hint", "next", *([] if is_whole else ["mask", "near"])]
    wall: dict[str, list[float]] = {name: [] for name in names}
    cpu: dict[str, list[float]] = {name: [] for name in wall}
    photo, mask = make_damaged_photo(height, width)
    if is_whole:
        photo, mask = make_photo(height, width), np.zeros_like(mask)
    # What a browser encodes is not measured.
    layer, small = stroke(photo.shape), stroke(photo.shape, is_small=True)
    small_pair = stroke(photo.shape, count=2, is_small=True)
    far, near = marks(mask, is_near=False), marks(mask, is_near=True)
    with tempfile.TemporaryDirectory() as name, serving(Path(name) / "album") as service:
        restorer = load_restorer(WEIGHTS, device="cpu", fill=FILL)
        for number in range(-1, rounds):
            darker = np.maximum(photo, number + 1) - (number + 1)
            page = Page(service, np.where(mask, photo, darker).astype(np.uint8), Path(name))
            steps = {
                "command": lambda page=page: _command(page.photo, restorer, Path(name) / "out"),
                "open": page.open,
                "first": page.restore,
                "likely": page.choose_colors,
                "shown": lambda page=page: page.show(small),
                "hint": lambda page=page: page.draw("hints", layer),
                "next": lambda page=page: page.show(small_pair),
                "mask": lambda page=page: page.draw("mask", far),
                "near": lambda page=page: page.draw("mask", near),
            }
            for step in names:
                work = steps[step]
                start = time.perf_counter(), time.process_time()
                work()
                if number >= 0:  # the round before is the warm-up
                    wall[step].append(time.perf_counter() - start[0])
                    cpu[step].append(time.process_time() - start[1])
    return {
        "size": [height, width],
        "by_the_clock": timing.compare(wall, "command"),
        "by_the_processors_time": timing.compare(cpu, "command"),
    }


def _command(photo: Path, restorer: Restorer, folder: Path) -> None:
    for result in restore_all(plan_jobs([photo], folder), restorer, RestoreOptions(overwrite=True)):
        if result.status != "restored":
            raise click.ClickException(result.reason)


@click.command("page")
@click.option(
    "--height", type=click.IntRange(32), default=1200, show_default=True, help="Height of the photograph in pixels."
)
@click.option(
    "--width", type=click.IntRange(32), default=1600, show_default=True, help="Width of the photograph in pixels."
)
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--whole", is_flag=True, help="Measure a photograph without a hole.")
@timing.json_option
@timing.quick_option
def command(height: int, width: int, rounds: int, whole: bool, path: Path | None, quick: bool) -> None:
    """Measure how fast the page of `toolbox serve` answers, compared with `toolbox restore` of the same photograph."""
    if quick:
        height, width, rounds = 96, 128, 1
    timing.report(measure(height, width, rounds, is_whole=whole), path)
