"""Decode pictures of 8 bits: palettes, bilevel and premultiplied ones, Lab and CMYK become gray or RGB in sRGB."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageCms

from toolbox.imaging.decode_16bit import alpha_of_color
from toolbox.imaging.icc import to_srgb8
from toolbox.imaging.integrity import BrokenFileError
from toolbox.imaging.png import Png


def decode_8bit(
    loaded: Image.Image, png: Png | None, icc: bytes | None, notes: list[str]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return pixels (H, W) or (H, W, 3) in sRGB and alpha (H, W) or None, uint8.

    Args:
        loaded: Pillow's picture, with its pixels.
        png: the checked PNG, if it is one.
        icc: the ICC profile.
        notes: gets what was converted.

    Raises:
        BrokenFileError: its samples are of a kind that is not supported.
    """
    image = _to_plain_mode(loaded, notes)
    alpha = None
    if image.mode in ("LA", "RGBA"):
        alpha = np.array(image.getchannel("A"))
        image = image.convert(image.mode[:-1])
    if image.mode not in ("L", "RGB", "CMYK"):
        raise BrokenFileError(f"has samples of a kind that is not supported ({image.mode}): save it with 8 or 16 bits")
    if png is not None and png.transparent:
        scale = 255 // ((1 << png.depth) - 1)
        alpha = alpha_of_color(np.asarray(image), tuple(value * scale for value in png.transparent))
    if icc:
        image, icc_notes = to_srgb8(image, icc)
        notes.extend(icc_notes)
    if loaded.mode == "CMYK":
        image = image.convert("RGB")
        notes.append("CMYK converted")
    return np.array(image), alpha


def _to_plain_mode(image: Image.Image, notes: list[str]) -> Image.Image:
    """Convert palettes, bilevel pictures, premultiplied alpha and Lab to L, LA, RGB or RGBA."""
    if image.mode in ("P", "PA"):
        has_alpha = "transparency" in image.info or image.mode == "PA"
        notes.append("palette expanded")
        return image.convert("RGBA" if has_alpha else "RGB")
    if image.mode in ("1", "RGBX", "YCbCr"):
        return image.convert("L" if image.mode == "1" else "RGB")
    if image.mode in ("La", "RGBa"):
        return image.convert(image.mode.upper())
    if image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        notes.append("LAB converted")
        converted = ImageCms.buildTransform(lab, srgb, "LAB", "RGB").apply(image)
        assert converted is not None
        return converted
    return image
