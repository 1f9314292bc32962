"""The classes of colours that a generator predicts for a gray photograph.

A generator offers them by its auxiliary output ``classes``, the logits (B, K, h, w), and by its attribute ``centres``,
the colour (Cb, Cr) of each class, (K, 2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from toolbox.inference.modes import working_size
from toolbox.inference.photo_view import PhotoView, make_view
from toolbox.models.forward import run_generator

# The side of the working size where the recipe has none.
_SIDE = 256
# Differences between colours near gray are more visible, so distances are measured on a plane that is linear up to
# about this chroma and logarithmic beyond it.
_KNEE = 0.03
# Standard deviation, on that plane, of the Gaussian that assigns a colour to the classes near it.
_SOFTNESS = 0.3


@dataclass(frozen=True, kw_only=True, eq=False)
class ColorClasses:
    """How likely each of K colours is over a photograph.

    Attributes:
        centres: (K, 2) float32, Cb and Cr.
        probabilities: (K, h, w) float32; they sum to 1 over K.
    """

    centres: np.ndarray
    probabilities: np.ndarray

    def shares(self, colors: np.ndarray) -> np.ndarray:
        """Return the soft assignment (N, K) of colours Cb, Cr (N, 2) to the classes; it sums to 1 over K."""
        points, centres = compand(colors), compand(self.centres)
        distances = ((points[:, None] - centres[None]) ** 2).sum(-1)
        weights = np.exp((distances.min(1, keepdims=True) - distances) / (2 * _SOFTNESS**2))
        return weights / weights.sum(1, keepdims=True)


@dataclass(frozen=True, kw_only=True, eq=False)
class ColorPredictor:
    """A generator, run at the size at which colours are predicted.

    Attributes:
        network: the generator, in eval mode.
        multiple: height and width of what the network takes must be multiples of this.
        device: the device of the network.
        side: the short side of that size in pixels; None: 256.
    """

    network: nn.Module
    multiple: int
    device: torch.device
    side: int | None

    def __call__(self, gray: np.ndarray) -> ColorClasses | None:
        """Return the classes for a photograph (H, W) uint8 without lost pixels; None if the generator predicts none."""
        outputs, size = self.run(make_view(gray, np.zeros(gray.shape, bool)))
        return read_classes(self.network, outputs, size)

    def run(self, view: PhotoView) -> tuple[dict[str, Tensor], tuple[int, int]]:
        """Return the outputs of the generator for a photograph, and its height and width in them without padding."""
        view = view.resize(*working_size(view.size, self.side or _SIDE))
        dtype = next((values.dtype for values in self.network.parameters()), torch.float32)
        with torch.no_grad():
            outputs = run_generator(self.network, "none", *view.to_tensors(self.multiple, self.device, dtype))
        return outputs, view.size


def read_classes(network: nn.Module, outputs: Mapping[str, Tensor], size: tuple[int, int]) -> ColorClasses | None:
    """Return the classes in the outputs of a generator for one photograph; None if it predicts none.

    Args:
        network: the generator.
        outputs: see `ColorPredictor.run`.
        size: height and width of the photograph in `outputs`, without padding.
    """
    centres, logits = getattr(network, "centres", None), outputs.get("classes")
    if logits is None or centres is None or tuple(centres.shape) != (logits.shape[1], 2):
        return None
    probabilities = logits[0].float().softmax(0).cpu().numpy()
    scale = probabilities.shape[1] / outputs["restored"].shape[2]
    rows, columns = (max(1, round(side * scale)) for side in size)
    return ColorClasses(centres=centres.float().cpu().numpy(), probabilities=probabilities[:, :rows, :columns])


def compand(colors: np.ndarray) -> np.ndarray:
    """Return Cb and Cr (..., 2) with the chroma r replaced by asinh(r / 0.03): distances then match visible ones."""
    radius = np.maximum(np.linalg.norm(colors, axis=-1, keepdims=True), 1e-6)
    return colors * (np.arcsinh(radius / _KNEE) / radius)


def shrink_to(values: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Return (H, W) or (H, W, C) values at the height and width `size`, averaged."""
    return cv2.resize(values, size[1::-1], interpolation=cv2.INTER_AREA)
