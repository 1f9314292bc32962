"""A damaged photograph, or a part of it at some scale, as a generator is shown it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """What is known of a photograph, and what is lost. The arrays are those of the photograph: never written to.

    Attributes:
        image: (H, W) gray or (H, W, 3) RGB, uint8 or uint16.
        mask: (H, W) bool, True where it is lost.
        fill: what the lost region is painted with before a generator sees it, a value a channel: training shows a
            flat region, whatever lies under a mask that was drawn by hand.
    """

    image: np.ndarray
    mask: np.ndarray
    fill: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.mask.shape  # type: ignore[return-value]

    def part(self, rows: slice, columns: slice) -> View:
        """Return a rectangle of it."""
        return View(image=self.image[rows, columns], mask=self.mask[rows, columns], fill=self.fill)

    def scaled(self, height: int, width: int) -> View:
        """Return it made smaller; a pixel with any lost pixel in it is lost."""
        if self.size == (height, width):
            return self
        to = (width, height)
        image = cv2.resize(self.image, to, interpolation=cv2.INTER_AREA)
        mask = cv2.resize(self.mask.astype(np.float32), to, interpolation=cv2.INTER_AREA) > 0
        return View(image=image, mask=mask, fill=self.fill)

    def tensors(self, multiple: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Return picture (1, 3, H, W) in [0, 1] and mask (1, 1, H, W), continued to sides that `multiple` divides."""
        top = float(np.iinfo(self.image.dtype).max)
        picture: np.ndarray = self.image.astype(np.float32) / np.float32(top)
        picture[self.mask] = self.fill if picture.ndim == 3 else self.fill[0]
        if picture.ndim == 2:
            picture = cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB)
        height, width = self.size
        beyond = (0, -width % multiple, 0, -height % multiple)
        lost = torch.from_numpy(self.mask.astype(np.float32))[None, None]
        shown = torch.from_numpy(picture).permute(2, 0, 1)[None]
        padded = (pad(value, beyond, mode="replicate").to(device, dtype) for value in (shown, lost))
        return next(padded), next(padded)


def view(image: np.ndarray, mask: np.ndarray) -> View:
    """Return the view of a whole photograph; ValueError where types or shapes are not those of `View`."""
    gray = image.ndim == 2
    if not (gray or image.ndim == 3 and image.shape[2] == 3) or image.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"A photograph is (H, W) or (H, W, 3) of uint8 or uint16, not {image.shape} {image.dtype}.")
    if mask.shape != image.shape[:2] or mask.dtype != bool or not mask.size:
        raise ValueError(f"A mask is bool of the photograph's size {image.shape[:2]}, not {mask.shape} {mask.dtype}.")
    lost = image[mask].reshape(-1, 1 if gray else 3)
    top = np.iinfo(image.dtype).max
    fill = [np.bincount(channel).argmax() if len(channel) else top // 2 for channel in lost.T]
    return View(image=image, mask=mask, fill=np.array(fill, np.float32) / top)
