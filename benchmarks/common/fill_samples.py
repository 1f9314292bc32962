"""Training samples of the fill network: crops of photographs that lie on the device, with holes."""

from __future__ import annotations

import multiprocessing
import queue
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from toolbox_plugins.fills.frequency import extrapolate
from toolbox_plugins.fills.learned import QUICK
from torch import Tensor
from torch.nn.functional import interpolate

from benchmarks.common.fill_holes import random_holes

# A photograph with a short side of at least LARGE pixels is drawn LARGE_WEIGHT times as often as a small one.
LARGE, LARGE_WEIGHT = 400, 6.0
ZOOM = 1.6
# Side of the samples with an extrapolation, the number that is kept, and how many are moved to the device at once.
SIDE = 256
POOL = 30000
MOVED = 64


class Photos:
    """The lumas of photographs as one flat tensor on the device."""

    def __init__(self, lumas: Sequence[np.ndarray], device: torch.device) -> None:
        """Move lumas (H, W) uint8 of any sizes to the device."""
        self.sizes = np.array([luma.shape for luma in lumas])
        self.offsets = np.concatenate([[0], np.cumsum(self.sizes.prod(1))[:-1]])
        self.pixels = torch.from_numpy(np.concatenate([luma.ravel() for luma in lumas])).to(device)
        self.device = device

    def crops(self, batch: int, side: int, random: np.random.Generator) -> Tensor:
        """Return random crops (batch, 1, side, side) float32, 0 to 1."""
        chosen = choose(self.sizes.min(1), side, batch, random)
        heights, widths = self.sizes[chosen].T
        top, left = random.integers(0, heights - side + 1), random.integers(0, widths - side + 1)
        start = torch.from_numpy(self.offsets[chosen] + top * widths + left).to(self.device)
        steps = torch.arange(side, device=self.device)
        rows = steps[:, None] * torch.from_numpy(widths).to(self.device)[:, None, None]
        return self.pixels[start[:, None, None] + rows + steps].float()[:, None] / 255


def choose(short_sides: np.ndarray, side: int, count: int, random: np.random.Generator) -> np.ndarray:
    """Return the numbers of random photographs that are large enough for crops with this side."""
    numbers = np.flatnonzero(short_sides >= side)
    weights = np.where(short_sides[numbers] >= LARGE, LARGE_WEIGHT, 1.0)
    return random.choice(numbers, count, p=weights / weights.sum())


def draw(photos: Photos, batch: int, side: int, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return crops (batch, 1, side, side), 0 to 1, and their holes."""
    drawn = side if random.random() < 0.4 else round(side / random.uniform(1, ZOOM))
    if side == 384 and random.random() < 0.3:
        drawn = 256  # so that small photographs have a part in this size too
    lumas = photos.crops(batch, drawn, random)
    if drawn != side:
        lumas = interpolate(lumas, (side, side), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
    lumas = augment(lumas, 1, random)
    return lumas, random_holes(batch, side, random, lumas.device)


def augment(planes: Tensor, tonal: int, random: np.random.Generator) -> Tensor:
    """Return planes (B, C, S, S) flipped and transposed; the tones of the first `tonal` planes change alike."""
    if random.random() < 0.5:
        planes = planes.flip(3)
    if random.random() < 0.25:
        planes = planes.flip(2)
    if random.random() < 0.25:
        planes = planes.transpose(2, 3)

    def uniform(low: float, high: float) -> Tensor:
        values = random.uniform(low, high, (len(planes), 1, 1, 1)).astype(np.float32)
        return torch.from_numpy(values).to(planes.device)

    changed = (uniform(0, 1) < 0.4).float()
    tones = planes[:, :tonal].contiguous() ** (1 + changed * (uniform(0.7, 1.4) - 1))
    tones = tones * (1 - changed * uniform(0, 0.3)) + changed * uniform(0, 0.15)
    tones = torch.where(uniform(0, 1) < 0.05, 1 - tones, tones).clamp(0, 1)
    return torch.cat([tones, planes[:, tonal:]], 1).contiguous()


def extrapolated_sample(lumas: Sequence[np.ndarray], random: np.random.Generator) -> np.ndarray:
    """Return luma, extrapolation and hole of one sample, (3, SIDE, SIDE) uint8."""
    short_sides = np.array([min(luma.shape) for luma in lumas])
    while True:
        drawn = SIDE if random.random() < 0.4 else round(SIDE / random.uniform(0.8, ZOOM))
        luma = lumas[int(choose(short_sides, drawn, 1, random)[0])]
        top, left = (int(random.integers(0, length - drawn + 1)) for length in luma.shape)
        crop = np.ascontiguousarray(luma[top : top + drawn, left : left + drawn])
        if drawn != SIDE:
            kind = cv2.INTER_CUBIC if drawn < SIDE else cv2.INTER_AREA
            crop = cv2.resize(crop, (SIDE, SIDE), interpolation=kind)
        lost = random_holes(1, SIDE, random, torch.device("cpu"))[0, 0].numpy() > 0
        known = np.where(lost, 0, crop).astype(np.float32)[..., None]
        waves = extrapolate(known, lost, origin=int(random.integers(8)), **QUICK)[..., 0]
        return np.stack([crop, np.rint(waves.clip(0, 255)).astype(np.uint8), lost.astype(np.uint8)])


def work(lumas: Sequence[np.ndarray], samples: multiprocessing.Queue[np.ndarray], seed: int) -> None:
    """Make samples in a process of its own until it is ended."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    random = np.random.default_rng(seed)
    while True:
        samples.put(extrapolated_sample(lumas, random))


class Pool:
    """Samples with an extrapolation: worker processes make them, and they are drawn many times."""

    def __init__(self, lumas: Sequence[np.ndarray], workers: int, device: torch.device, size: int = POOL) -> None:
        """Start the workers. Call it before the GPU is used, because the processes are forked."""
        context = multiprocessing.get_context("fork")
        self.samples: multiprocessing.Queue[np.ndarray] = context.Queue(200)
        self.processes = [
            context.Process(target=work, args=(lumas, self.samples, 1000 + number), daemon=True)
            for number in range(workers)
        ]
        for process in self.processes:
            process.start()
        self.device, self.size, self.count = device, size, 0
        self.stored: Tensor | None = None
        self.new: list[np.ndarray] = []

    def fetch(self) -> None:
        """Take what the workers have made; the oldest samples go when the pool is full."""
        try:
            for _ in range(MOVED):
                self.new.append(self.samples.get_nowait())
        except queue.Empty:
            pass
        if len(self.new) < MOVED:
            return
        if self.stored is None:
            self.stored = torch.empty((self.size, 3, SIDE, SIDE), dtype=torch.uint8, device=self.device)
        slots = (torch.arange(len(self.new), device=self.device) + self.count) % self.size
        self.stored[slots] = torch.from_numpy(np.stack(self.new)).to(self.device)
        self.count += len(self.new)
        self.new = []

    def draw(self, batch: int, random: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Return lumas, holes and extrapolations, each (batch, 1, SIDE, SIDE), of random samples."""
        if self.stored is None:
            raise ValueError("the pool is empty")
        chosen = torch.from_numpy(random.integers(0, min(self.count, self.size), batch)).to(self.device)
        planes = self.stored[chosen].float()
        planes[:, :2] /= 255
        planes = augment(planes, 2, random)
        return planes[:, :1], planes[:, 2:], planes[:, 1:2]

    def stop(self) -> None:
        """End the workers."""
        for process in self.processes:
            process.terminate()
