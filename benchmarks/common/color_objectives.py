"""The losses of the colour network: to true colours, to the mean of teachers, and on the score's histogram of hues."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from toolbox_plugins.luma.classes import centres, shares
from toolbox_plugins.luma.network import to_rgb
from toolbox_plugins.perceptual.hue_histogram import correlation, histogram
from torch import Tensor, nn
from torch.nn.functional import interpolate

from benchmarks.common.color_networks import logits
from toolbox.color import cbcr

VIVID_CHROMA = 0.1  # the chroma from which on a pixel has its largest weight
TINY = 1e-8


@dataclass(frozen=True, kw_only=True)
class Target:
    """The colours that a network is compared with.

    Attributes:
        classes: probabilities of the classes, (B, COUNT, h, w).
        chroma: mean Cb and Cr, (B, 2, h, w).
    """

    classes: Tensor
    chroma: Tensor

    def part(self, start: int) -> Target:
        """Return the target of the pictures from `start` on."""
        return Target(classes=self.classes[start:], chroma=self.chroma[start:])


def true_colors(truth: Tensor) -> Target:
    """Return the target of the truths, RGB (B, 3, S, S), 0 to 255: means over 4x4 pixels."""
    chroma = cbcr(interpolate(truth.float() / 255, scale_factor=0.25, mode="area"))
    return Target(classes=shares(chroma), chroma=chroma)


@torch.no_grad()
def taught_colors(teachers: Sequence[nn.Module], gray: Tensor) -> Target:
    """Return the mean of the teachers' predictions."""
    classes = torch.stack([logits(teacher, gray).softmax(1) for teacher in teachers]).mean(0)
    return Target(classes=classes, chroma=mean_chroma(classes))


def mean_chroma(probabilities: Tensor) -> Tensor:
    """Return the mean Cb and Cr, (B, 2, h, w), of class probabilities (B, COUNT, h, w)."""
    return torch.einsum("bkhw,kc->bchw", probabilities, centres().to(probabilities))


def divergence(target: Tensor, classes: Tensor) -> Tensor:
    """Return KL(t || p) of each pixel, (B, h, w), for probabilities t and logits of p, both (B, COUNT, h, w)."""
    return (target * (target.clamp_min(TINY).log() - classes.log_softmax(1))).sum(1)


def color_loss(classes: Tensor, target: Target, *, vivid: float, chroma: float) -> Tensor:
    """Return the mean of w KL(t || p), plus `chroma` times the mean distance in the plane of Cb and Cr.

    The weight of a pixel is w = 1 + vivid * min(r / 0.1, 1) for a target of chroma r, divided by its mean.
    """
    weight = 1 + vivid * (target.chroma.square().sum(1).sqrt() / VIVID_CHROMA).clamp_max(1)
    return (weight / weight.mean() * divergence(target.classes, classes)).mean() + chroma * distance(classes, target)


def distance(classes: Tensor, target: Target) -> Tensor:
    """Return the mean distance between the mean colour of the classes and the target's, in Cb and Cr."""
    return (mean_chroma(classes.softmax(1)) - target.chroma).square().sum(1).add(1e-6).sqrt().mean()


def score_loss(classes: Tensor, target: Target, gray: Tensor, truth: Tensor) -> Tensor:
    """Return the loss for the competition's C: 1 - the correlation of the hue histograms, and a little of the colours.

    `gray` is (B, 1, S, S) and `truth` RGB (B, 3, S, S), both 0 to 255.
    """
    chroma = interpolate(mean_chroma(classes.softmax(1)), scale_factor=4.0, mode="bilinear", align_corners=False)
    restored = histogram(to_rgb(gray / 255, chroma), 0.5, 1.0)
    with torch.no_grad():
        goal = histogram(truth / 255, 0.5, 1.0)
    colors = 0.1 * divergence(target.classes, classes).mean() + distance(classes, target)
    return (1 - correlation(restored, goal)).mean() + colors
