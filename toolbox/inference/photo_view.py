"""A damaged photograph, or a part of it, in the form that a generator takes."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from toolbox.imaging.area import shrink_levels


@dataclass(frozen=True, kw_only=True, eq=False)
class PhotoView:
    """The known pixels of a photograph and its mask. The arrays belong to the photograph and are never written to.

    Attributes:
        image: (H, W) gray or (H, W, 3) RGB, uint8 or uint16.
        mask: (H, W) bool, True where the photograph is lost.
        fill: (1,) or (3,) float32 in [0, 1], the colour that a generator sees in the lost region. In training it sees
            one flat colour, so pixels under a mask that was drawn by hand are replaced by such a colour too.
    """

    image: np.ndarray
    mask: np.ndarray
    fill: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.mask.shape  # type: ignore[return-value]

    def crop(self, rows: slice, columns: slice) -> PhotoView:
        """Return a rectangle of the view."""
        return PhotoView(image=self.image[rows, columns], mask=self.mask[rows, columns], fill=self.fill)

    def resize(self, height: int, width: int) -> PhotoView:
        """Return the view at a smaller size. A pixel is lost if any pixel that it covers is lost."""
        if self.size == (height, width):
            return self
        image = shrink_levels(self.image, height, width)
        mask = cv2.resize(self.mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA) > 0
        return PhotoView(image=image, mask=mask, fill=self.fill)

    def to_tensors(self, multiple: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Return the picture (1, 3, H, W) in [0, 1] and the mask (1, 1, H, W).

        Both are extended at the right and at the bottom, by the last column and row, to multiples of `multiple`.
        """
        highest = float(np.iinfo(self.image.dtype).max)
        picture: np.ndarray = self.image.astype(np.float32) / np.float32(highest)
        picture[self.mask] = self.fill if picture.ndim == 3 else self.fill[0]
        if picture.ndim == 2:
            picture = cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB)
        height, width = self.size
        padding = (0, -width % multiple, 0, -height % multiple)
        mask_tensor = torch.from_numpy(self.mask.astype(np.float32))[None, None]
        picture_tensor = torch.from_numpy(picture).permute(2, 0, 1)[None]
        padded = (pad(values, padding, mode="replicate").to(device, dtype) for values in (picture_tensor, mask_tensor))
        return next(padded), next(padded)


def make_view(image: np.ndarray, mask: np.ndarray) -> PhotoView:
    """Return the view of a whole photograph; raise ValueError if a type or a shape is not that of `PhotoView`."""
    is_gray = image.ndim == 2
    if not (is_gray or image.ndim == 3 and image.shape[2] == 3) or image.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"A photograph is (H, W) or (H, W, 3) of uint8 or uint16, not {image.shape} {image.dtype}.")
    if mask.shape != image.shape[:2] or mask.dtype != bool or not mask.size:
        raise ValueError(f"A mask is bool of the photograph's size {image.shape[:2]}, not {mask.shape} {mask.dtype}.")
    lost_values = image[mask].reshape(-1, 1 if is_gray else 3)
    highest = np.iinfo(image.dtype).max
    fill = [np.bincount(channel).argmax() if len(channel) else highest // 2 for channel in lost_values.T]
    return PhotoView(image=image, mask=mask, fill=np.array(fill, np.float32) / highest)
