"""Photographs of made-up scenes, and second photographs of them, with a known alignment."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import nn

from toolbox.inference.restorer import Restorer


def scene(seed=0, side=320):
    """Return a picture (side, side, 3) uint8 with shapes and textures in many colours."""
    random = np.random.default_rng(seed)
    picture = np.full((side, side, 3), random.integers(60, 200, 3), np.uint8)
    for _ in range(60):
        center = random.integers(0, side, 2)
        points = center + random.integers(-side // 5, side // 5, (random.integers(3, 7), 2))
        cv2.fillPoly(picture, [points.astype(np.int32)], random.integers(10, 245, 3).tolist())
    texture = random.normal(0, 1, (side, side, 1)).astype(np.float32)
    texture = cv2.GaussianBlur(texture, (0, 0), 1.2)[..., None] * 25
    return (cv2.GaussianBlur(picture, (0, 0), 0.7) + texture).clip(0, 255).astype(np.uint8)


def second_photo(picture, *, angle=4.0, shift=(3.0, -2.0), gamma=1.0, gain=1.0, quality=None):
    """Return another photograph of a picture: turned by `angle` degrees, moved by `shift` pixels, otherwise exposed."""
    height, width = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0)
    matrix[:, 2] += shift
    turned = cv2.warpAffine(picture, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    exposed = np.rint(255 * (gain * (turned / 255.0) ** gamma).clip(0, 1)).astype(np.uint8)
    if quality is None:
        return exposed
    data = cv2.imencode(".jpg", exposed[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])


class Tint(nn.Module):
    """A generator that returns the image with a blue tint."""

    def forward(self, image, mask):
        return (image + image.new_tensor([-0.1, 0.0, 0.1]).view(1, 3, 1, 1)).clamp(0, 1)


def tint_restorer(keep, size=None):
    """Return a restorer with the generator `Tint`."""
    return Restorer(network=Tint(), keep=keep, device=torch.device("cpu"), multiple=1, size=size)


def square_hole(side, first, last):
    """Return a mask (side, side) bool, True in the square of rows and columns `first` to `last`."""
    mask = np.zeros((side, side), bool)
    mask[first:last, first:last] = True
    return mask
