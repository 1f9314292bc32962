"""LPIPS: the distance of two photographs in the feature maps of VGG16, with weights from a local file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch.nn import functional as F

from toolbox.errors import WeightsError
from toolbox.utils import files

# The number of convolutions in each of the five blocks of VGG16.
LAYERS = (2, 2, 3, 3, 3)
# The least side in pixels: each block but the first halves the picture.
MIN_SIDE = 2 ** (len(LAYERS) - 1)
# Mean and standard deviation that normalise R, G and B in [-1, 1].
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)


class Lpips:
    """LPIPS 0.1 over VGG16.

    Reference: Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018.
    """

    def __init__(self, path: Path) -> None:
        """Read the weights from a safetensors file.

        Args:
            path: the file; it has VGG16 under torchvision's keys (``features.0.weight`` …) and the heads under those of
                the reference (``lpips.lin0.model.1.weight`` …).

        Raises:
            WeightsError: the file can't be read, or lacks a weight.
        """
        try:
            tensors = {name: value.float() for name, value in load(path.read_bytes()).items()}
            layers = [int(name.split(".")[1]) for name in tensors if name.startswith("features.")]
            self.convs = [
                (tensors[f"features.{index}.weight"], tensors[f"features.{index}.bias"])
                for index in sorted(set(layers))[: sum(LAYERS)]
            ]
            self.heads = [tensors[f"lpips.lin{index}.model.1.weight"] for index in range(len(LAYERS))]
        except (OSError, SafetensorError, ValueError) as error:
            raise WeightsError(f"{files.printable(path)} can't be read as safetensors: {error}") from error
        except KeyError as error:
            raise WeightsError(f"{files.printable(path)} is no file of LPIPS: it has no {error.args[0]}.") from error
        if len(self.convs) < sum(LAYERS):
            raise WeightsError(f"{files.printable(path)} is no file of LPIPS: it lacks convolutions of VGG16.")
        self.shift = torch.tensor(SHIFT).view(1, 3, 1, 1)
        self.scale = torch.tensor(SCALE).view(1, 3, 1, 1)

    def __call__(self, restored: np.ndarray, truth: np.ndarray) -> float | None:
        """Return the distance of two (H, W, 3) uint8 RGB photographs, 0 for equal ones; None if a side is under 16."""
        if min(restored.shape[:2]) < MIN_SIDE:
            return None
        return self.between(self.features(restored), self.features(truth))

    @torch.inference_mode()
    def features(self, picture: np.ndarray) -> list[torch.Tensor]:
        """Return the feature maps of (H, W, 3) uint8 RGB at each level, of length 1 at each position."""
        x = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float() / 127.5 - 1
        x, levels = (x - self.shift) / self.scale, []
        convs = iter(self.convs)
        for level, count in enumerate(LAYERS):
            x = F.max_pool2d(x, 2) if level else x
            for _ in range(count):
                weight, bias = next(convs)
                x = F.relu(F.conv2d(x, weight, bias, padding=1))
            levels.append(x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10))
        return levels

    @torch.inference_mode()
    def between(self, first: list[torch.Tensor], second: list[torch.Tensor]) -> float:
        """Return the distance of two photographs, given their features."""
        levels = zip(first, second, self.heads, strict=True)
        return sum(float(F.conv2d((a - b).square(), head).mean()) for a, b, head in levels)
