"""The squares that measure the colour network during training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from toolbox_plugins.luma.network import to_rgb
from torch import Tensor, nn
from torch.nn.functional import interpolate

from benchmarks import color
from benchmarks.color_pack import Pack
from benchmarks.common import color_figures
from benchmarks.common.color_objectives import TINY, divergence, taught_colors, true_colors
from toolbox.color import integer_luma
from toolbox.evaluation.metrics import hue_correlation

VIEW = 128  # side in pixels of the squares that are measured, for every input size of the network


class Development:
    """The central squares of photographs that measure a network during training."""

    def __init__(self, pack: Pack, size: int) -> None:
        """Scale the photographs to the network's `size` and to `VIEW` pixels."""
        squares = [color.central_square(photo) for photo in pack.photos]
        self.categories = pack.categories
        self.truths = [cv2.resize(square, (VIEW, VIEW), interpolation=cv2.INTER_AREA) for square in squares]
        inputs = np.stack([cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA) for square in squares])
        self.inputs = torch.from_numpy(inputs).permute(0, 3, 1, 2)
        self.luma = torch.from_numpy(np.stack([integer_luma(truth) for truth in self.truths]))[:, None].float() / 255
        self.gray = torch.from_numpy(np.stack([integer_luma(square) for square in inputs]))[:, None]

    @torch.no_grad()
    def measure(self, networks: Sequence[nn.Module], device: torch.device, batch: int = 25) -> dict[str, Any]:
        """Return the figures of the mean of the networks' predictions.

        ``divergence`` is the mean KL(t || p): t is the soft assignment of the true colours, p the probabilities.
        """
        sums, chroma = 0.0, []
        for gray, truth in zip(self.gray.split(batch), self.inputs.split(batch), strict=True):
            target = true_colors(truth.to(device))
            predicted = taught_colors([network.eval() for network in networks], gray.to(device).float())
            sums += float(divergence(target.classes, predicted.classes.clamp_min(TINY).log()).mean((1, 2)).sum())
            chroma.append(predicted.chroma.cpu())
        return {"divergence": sums / len(self.gray)} | self.figures(torch.cat(chroma))

    def figures(self, chroma: Tensor) -> dict[str, Any]:
        """Return the figures of colours (N, 2, h, w), Cb and Cr, enlarged to `VIEW` pixels."""
        large = interpolate(chroma, (VIEW, VIEW), mode="bilinear", align_corners=False)
        pictures = (to_rgb(self.luma, large) * 255).round().byte().permute(0, 2, 3, 1).numpy()
        counts = [color_figures.compare(picture, truth) for picture, truth in zip(pictures, self.truths, strict=True)]
        hues = [hue_correlation(picture, truth) for picture, truth in zip(pictures, self.truths, strict=True)]
        return color_figures.summarize(counts, self.categories) | {"hue_correlation": float(np.mean(hues))}
