"""Crops of photographs with simulated damage, and the processes that make them for `train-damage`."""

from __future__ import annotations

import math
import multiprocessing
import queue
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from numpy.random import Generator
from toolbox_plugins.damage.ageing import age, rescan, scan
from toolbox_plugins.damage.artefacts import Artefacts
from toolbox_plugins.damage.kinds import KINDS
from toolbox_plugins.damage.lookalikes import add_lookalike
from toolbox_plugins.damage.simulate import lay_damage
from toolbox_plugins.damage.structures import add_structure
from toolbox_plugins.damage.wear import lay_wear

from benchmarks import photo_split

# Sides of the crops and their chances: for the time of a large crop, several small ones show more photographs.
SIZES = {256: 0.6, 384: 0.4}
# A photograph with at least this short side is sharp enough for crops that are not enlarged.
SHARP = 400
# Chances: a sharp crop; things that look like damage; old; damaged; worn as well or instead; poorly copied; scanned.
SHARP_CROPS, LOOKALIKES, STRUCTURES, AGED = 0.3, 0.3, 0.25, 0.45
DAMAGED, WORN, RESCANNED, SCANNED = 0.35, 0.4, 0.15, 0.45
# Chances of each kind of plain damage in a damaged crop.
CHANCES = {"scratch": 0.34, "fold": 0.28, "dust": 0.36, "stain": 0.34, "tear": 0.15}
# Samples that a process sends at once.
PORTION = 8


def read_photographs(folder: Path, name: str) -> list[np.ndarray]:
    """Return the photographs of a set of `photo_split.csv` in gray, (H, W) uint8 each.

    Raises:
        click.ClickException: the folder has none of them.
    """
    paths = [folder / row["file"] for row in photo_split.read() if row["set"] == name]
    with ThreadPoolExecutor() as pool:
        present = [str(path) for path in paths if path.is_file()]
        read = pool.map(lambda path: cv2.imread(path, cv2.IMREAD_GRAYSCALE), present)
        photographs = [photo for photo in read if photo is not None]
    if not photographs:
        raise click.ClickException(f"{folder} has no photograph of the set {name} of photo_split.csv; see --shared")
    return photographs


def make_sample(
    random: Generator, size: int, photographs: Sequence[np.ndarray], artefacts: Artefacts | None
) -> np.ndarray:
    """Return a crop and its labels (0, or the index in `KINDS` plus 1), (2, size, size) uint8.

    Args:
        random: the only source of randomness.
        size: side of the crop.
        photographs: (H, W) uint8 each; one of them is used.
        artefacts: real artefacts, for most of the damaged crops.
    """
    gray = _crop(photographs, random, size)
    if random.random() < LOOKALIKES:
        gray = add_lookalike(gray, random)
    while random.random() < STRUCTURES:
        gray = add_structure(gray, random)
    if random.random() < AGED:
        gray = age(gray, random)
    labels = np.zeros(gray.shape, np.uint8)
    # With damage of twice the size, the crop is like a part of a photograph of twice the size.
    scale = math.exp(random.uniform(0, math.log(max(1.3, 2 * 384 / size)))) if random.random() < 0.7 else 1.0
    if random.random() < DAMAGED:
        kinds = [kind for kind in KINDS if random.random() < CHANCES[kind]] or [str(random.choice(KINDS))]
        high = 1.0 if random.random() < 0.6 else 0.4
        real = artefacts if random.random() < 0.7 else None
        gray, labels = lay_damage(gray, random, kinds=kinds, high=high, scale=scale, artefacts=real)
    if random.random() < WORN:
        gray, labels = lay_wear(gray, random, labels=labels, scale=scale)
    if random.random() < RESCANNED:
        gray = rescan(gray, random)
    if random.random() < SCANNED:
        gray = scan(gray, random)
    return np.stack([gray, labels])


def _crop(photographs: Sequence[np.ndarray], random: Generator, size: int) -> np.ndarray:
    """Return a random square of a photograph, enlarged or reduced to (size, size); some are mirrored."""
    photo = photographs[int(random.integers(len(photographs)))]
    zoom = math.exp(random.uniform(math.log(0.6), math.log(2.2))) if random.random() < 0.6 else 1.0
    if random.random() < SHARP_CROPS:
        for _ in range(20):
            if min(photo.shape) >= SHARP:
                zoom = math.exp(-random.uniform(0, 0.7))
                break
            photo = photographs[int(random.integers(len(photographs)))]
    side = int(min(*photo.shape, max(32, size / zoom)))
    row, column = (int(random.integers(0, length - side + 1)) for length in photo.shape)
    crop = photo[row : row + side, column : column + side]
    if random.random() < 0.5:
        crop = crop[:, ::-1]
    method = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
    return cv2.resize(np.ascontiguousarray(crop), (size, size), interpolation=method)


def _work(
    seed: int, photographs: Sequence[np.ndarray], artefacts: Artefacts | None, portions: Any, stopped: Any
) -> None:
    """Make samples until it is told to stop; an error is sent as text, and another sample is made."""
    cv2.setNumThreads(1)
    random = np.random.default_rng(seed)
    sizes, chances = list(SIZES), np.array(list(SIZES.values()))
    while not _ended(stopped):
        size = int(random.choice(sizes, p=chances / chances.sum()))
        portion: list[np.ndarray] = []
        while len(portion) < PORTION and not _ended(stopped):
            try:
                portion.append(make_sample(random, size, photographs, artefacts))
            except Exception:
                _send(traceback.format_exc(), portions, stopped)
        if len(portion) == PORTION:
            _send(np.stack(portion), portions, stopped)


def _ended(stopped: Any) -> bool:
    """Return whether the process is told to stop, or the process that started it has ended."""
    parent = multiprocessing.parent_process()
    return bool(stopped.is_set()) or parent is None or not parent.is_alive()


def _send(item: np.ndarray | str, portions: Any, stopped: Any) -> None:
    while not _ended(stopped):
        try:
            return portions.put(item, timeout=1)
        except queue.Full:
            continue


@dataclass(kw_only=True)
class Workers:
    """Processes that make samples. Each has a copy of the photographs."""

    photographs: Sequence[np.ndarray]
    artefacts: Artefacts | None
    count: int
    seed: int = 0
    errors: list[str] = field(default_factory=list)
    _processes: list[Any] = field(default_factory=list)

    def start(self) -> None:
        """Start the processes."""
        # A forked process would wait for ever for the threads of OpenCV that its parent had.
        context = multiprocessing.get_context("spawn")
        self._portions, self._stopped = context.Queue(maxsize=8 * self.count), context.Event()
        for number in range(self.count):
            arguments = (self.seed * 1000 + number, self.photographs, self.artefacts, self._portions, self._stopped)
            self._processes.append(context.Process(target=_work, args=arguments, daemon=True))
            self._processes[-1].start()

    def receive(self, timeout: float = 0.0) -> np.ndarray | None:
        """Return a portion of samples (PORTION, 2, size, size) uint8, or None if there is none within the time."""
        end = time.monotonic() + timeout
        while True:
            try:
                portion = self._portions.get(timeout=max(0.001, end - time.monotonic()))
            except queue.Empty:
                return None
            if not isinstance(portion, str):
                return np.asarray(portion)
            self.errors.append(portion)

    def stop(self) -> None:
        """Stop the processes."""
        self._stopped.set()
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join(5)
        self._portions.close()
        self._portions.cancel_join_thread()


def development_samples(
    photographs: Sequence[np.ndarray], artefacts: Artefacts | None, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return damaged squares and sound ones, two arrays (n, 2, 512, 512) uint8 as `make_sample`.

    The damaged ones have one kind each, in turn, as in `benchmarks damage`.
    """
    damaged, sound = [], []
    for number in range(count):
        gray = _square(photographs[number * len(photographs) // count])
        random = np.random.default_rng([512, number])
        real = artefacts if random.random() < 0.5 else None
        damaged.append(np.stack(lay_damage(gray, random, kinds=[KINDS[number % len(KINDS)]], artefacts=real)))
        sound.append(np.stack([gray, np.zeros_like(gray)]))
    return np.stack(damaged), np.stack(sound)


def _square(photograph: np.ndarray, size: int = 512) -> np.ndarray:
    side = min(photograph.shape)
    row, column = ((length - side) // 2 for length in photograph.shape)
    middle = photograph[row : row + side, column : column + side]
    return cv2.resize(middle, (size, size), interpolation=cv2.INTER_AREA if side > size else cv2.INTER_CUBIC)
