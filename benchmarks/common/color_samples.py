"""Training batches of the colour network, each determined by seed and step, and the squares that measure it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import torch
from toolbox_plugins.luma.classes import shares
from toolbox_plugins.luma.network import to_rgb
from torch import Tensor, nn
from torch.nn.functional import interpolate

from benchmarks import color
from benchmarks.color_pack import Pack
from benchmarks.common import color_figures
from toolbox import Degradation, Sample
from toolbox.color import cbcr, integer_luma

VIEW = 128  # side in pixels of the squares that are measured, for every input size of the network


def sample(
    photo: np.ndarray, size: int, zoom: float, degradations: Sequence[Degradation], random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return a square crop as network input, gray (size, size) uint8, and its truth (3, size, size) uint8.

    The crop's side is the short side of the photograph divided by a random factor between 1 and `zoom`. Half of the
    crops are mirrored.
    """
    short = min(photo.shape[:2])
    side = max(1, round(short / zoom ** random.random()))
    y, x = (int(random.integers(0, length - side + 1)) for length in photo.shape[:2])
    square = photo[y : y + side, x : x + side]
    square = square[:, ::-1] if random.random() < 0.5 else square
    truth = cv2.resize(np.ascontiguousarray(square), (size, size), interpolation=cv2.INTER_AREA)
    gray = cv2.cvtColor(integer_luma(truth), cv2.COLOR_GRAY2RGB)
    crop = Sample(image=gray, mask=np.zeros(gray.shape[:2], bool), truth=truth)
    for degrade in degradations:
        crop = degrade(crop, random)
    return crop.image[..., 0], crop.truth.transpose(2, 0, 1)


class Batches:
    """The batches of a pack, by step number."""

    def __init__(
        self, pack: Pack, *, batch: int, size: int, zoom: float, degradations: Sequence[Degradation], seed: int
    ) -> None:
        """Store the options; see `sample`."""
        self.photos, self.batch, self.size, self.zoom = pack.photos, batch, size, zoom
        self.degradations, self.seed = tuple(degradations), seed
        self._cached_order: tuple[int, np.ndarray] | None = None

    def make(self, step: int) -> tuple[Tensor, Tensor]:
        """Return the gray pictures (B, 1, S, S) and the truths (B, 3, S, S) of a step, uint8."""
        count, samples = len(self.photos), []
        for position in range(step * self.batch, (step + 1) * self.batch):
            epoch, index = divmod(position, count)
            photo = self.photos[self._order(epoch)[index]]
            random = np.random.default_rng([self.seed, 1, position])
            samples.append(sample(photo, self.size, self.zoom, self.degradations, random))
        gray, truth = (torch.from_numpy(np.stack(each)) for each in zip(*samples, strict=True))
        return gray[:, None], truth

    def from_step(self, step: int, workers: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches from a step on, without end; `workers` threads prepare them in advance."""
        if not workers:
            while True:
                yield self.make(step)
                step += 1
        with ThreadPoolExecutor(workers) as pool:
            pending: deque[Future[tuple[Tensor, Tensor]]] = deque()
            while True:
                while len(pending) < 2 * workers:
                    pending.append(pool.submit(self.make, step))
                    step += 1
                yield pending.popleft().result()

    def _order(self, epoch: int) -> np.ndarray:
        # Two threads may compute it at the same time; both get the same order.
        cached = self._cached_order
        if cached is None or cached[0] != epoch:
            cached = epoch, np.random.default_rng([self.seed, 0, epoch]).permutation(len(self.photos))
            self._cached_order = cached
        return cached[1]


class Development:
    """The central squares of photographs that measure a network during training."""

    def __init__(self, pack: Pack, size: int) -> None:
        """Scale them to the network's `size` and to `VIEW` pixels."""
        squares = [color.central_square(photo) for photo in pack.photos]
        self.categories = pack.categories
        self.truths = [cv2.resize(square, (VIEW, VIEW), interpolation=cv2.INTER_AREA) for square in squares]
        inputs = np.stack([cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA) for square in squares])
        self.inputs = torch.from_numpy(inputs).permute(0, 3, 1, 2)
        self.luma = torch.from_numpy(np.stack([integer_luma(truth) for truth in self.truths]))[:, None].float() / 255
        self.gray = torch.from_numpy(np.stack([integer_luma(square) for square in inputs]))[:, None]

    @torch.no_grad()
    def logits(self, network: nn.Module, device: torch.device, batch: int = 25) -> Tensor:
        """Return the logits of all squares, (N, COUNT, size / 4, size / 4), on the CPU."""
        network.eval()
        logits = []
        for part in self.gray.split(batch):
            gray = part.to(device).float() / 255
            logits.append(network.decode(gray, torch.zeros_like(gray))[0].float().cpu())
        return torch.cat(logits)

    def figures(self, chroma: Tensor) -> dict[str, Any]:
        """Return the figures of colours (N, 2, h, w), Cb and Cr, enlarged to `VIEW` pixels."""
        large = interpolate(chroma, (VIEW, VIEW), mode="bilinear", align_corners=False)
        pictures = (to_rgb(self.luma, large) * 255).round().byte().permute(0, 2, 3, 1).numpy()
        counts = [color_figures.compare(picture, truth) for picture, truth in zip(pictures, self.truths, strict=True)]
        return color_figures.summarize(counts, self.categories)

    def divergence(self, logits: Tensor) -> float:
        """Return the mean KL(t || p): t is the soft assignment of the true colours, p the predicted probabilities."""
        target = shares(quarter_chroma(self.inputs))
        return float((target * (target.clamp_min(1e-8).log() - logits.log_softmax(1))).sum(1).mean())


def quarter_chroma(truth: Tensor) -> Tensor:
    """Return Cb and Cr, (B, 2, S / 4, S / 4), of RGB (B, 3, S, S) uint8: means over 4x4 pixels."""
    return cbcr(interpolate(truth.float() / 255, scale_factor=0.25, mode="area"))
