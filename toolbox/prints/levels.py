"""Contrast and casts: tables that map each level of each channel.

A faded print is lighter in its shadows and darker in its highlights, and its dyes fade by different amounts. The
shadows and the highlights of the picture, as robust percentiles, are moved back: of all channels together (contrast),
and of each channel towards neutral (cast).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from toolbox.color import LUMA_WEIGHTS, integer_luma
from toolbox.imaging.sepia import Toning, tone_table
from toolbox.prints.working_copy import WorkingCopy

# Percentiles of shadows and highlights, and the levels of 255 to which the contrast brings them. Chosen on the
# development photographs with simulated fading, docs/prints.md.
SHADOW, LIGHT = 0.5, 99.5
SHADOW_LEVEL, LIGHT_LEVEL = 12.0, 230.0
# The largest factor of the contrast: more only shows grain.
_MAX_GAIN = 4.0
# The largest factor of a channel's contrast beside that of the others.
_MAX_CHANNEL_GAIN = 2.5
# How much of the colour of shadows, highlights and the least colourful pixels is removed. A part of it belongs to the
# scene.
_SHADOW_SHARE, _LIGHT_SHARE, _MIDDLE_SHARE = 1.0, 0.85, 0.6
_LEAST_COLORFUL = 40
_GAMMA_RANGE = 0.6, 1.7
_STRIP_ROWS = 256


def tone_points(copy: WorkingCopy, percentiles: Sequence[float] = (SHADOW, LIGHT)) -> np.ndarray:
    """Return shadows and highlights, or other percentiles, (2, 4): of red, green, blue and luma, in levels of 255."""
    smooth = cv2.blur(copy.values, (3, 3))[copy.measured]
    channels = np.column_stack([smooth, smooth @ np.array(LUMA_WEIGHTS, np.float32)])
    return np.percentile(channels, percentiles, axis=0)


def contrast_curve(copy: WorkingCopy, strength: float) -> tuple[float, float]:
    """Return (offset, gain) of ``offset + gain * level``, in levels of 255, which restores the contrast.

    The curve never lowers the contrast: shadows only become darker, highlights only lighter.

    Args:
        copy: the photograph.
        strength: from 0 (no change) to 1.
    """
    shadow, light = tone_points(copy)[:, 3]
    dark, bright = min(shadow, SHADOW_LEVEL), max(light, LIGHT_LEVEL)
    gain = (bright - dark) / max(light - shadow, 1e-3)
    offset = dark - gain * shadow
    if gain > _MAX_GAIN:
        # The middle stays the same, unless shadows or highlights would then leave the range.
        gain = _MAX_GAIN
        offset = float(np.clip((1 - gain) * (shadow + light) / 2, dark - gain * shadow, bright - gain * light))
    return strength * offset, 1 + strength * (gain - 1)


def cast_curves(copy: WorkingCopy, strength: float) -> np.ndarray:
    """Return (3, 3): offset, gain and gamma of each channel, which remove a cast.

    A level x of 0 to 1 becomes ``(offset + gain * x) ** gamma``, clipped to 0 to 1 before.

    Args:
        copy: the photograph.
        strength: from 0 (no change) to 1.
    """
    shadows, lights = tone_points(copy) / 255
    dark = shadows[3] + (1 - strength * _SHADOW_SHARE) * (shadows[:3] - shadows[3])
    bright = lights[3] + (1 - strength * _LIGHT_SHARE) * (lights[:3] - lights[3])
    width = np.maximum(lights[:3] - shadows[:3], 1e-3)
    gain = np.clip((bright - dark) / width, 1 / _MAX_CHANNEL_GAIN, _MAX_CHANNEL_GAIN)
    offset = (dark + bright) / 2 - gain * (shadows[:3] + lights[:3]) / 2
    values = np.clip(offset + gain * copy.values[copy.measured] / 255, 1 / 255, 254 / 255)
    middle = least_colorful(values)
    neutral = middle @ np.array(LUMA_WEIGHTS)
    gamma = 1 + strength * _MIDDLE_SHARE * (np.log(neutral) / np.log(middle) - 1)
    return np.stack([offset, gain, np.clip(gamma, *_GAMMA_RANGE)])


def least_colorful(values: np.ndarray) -> np.ndarray:
    """Return the mean colour (3,) of the least colourful pixels of (N, 3)."""
    chroma = np.abs(values - (values @ np.array(LUMA_WEIGHTS, values.dtype))[:, None]).sum(axis=1)
    return values[chroma <= np.percentile(chroma, _LEAST_COLORFUL)].mean(axis=0)


def apply_levels(pixels: np.ndarray, copy: WorkingCopy, *, contrast: float, cast: float) -> np.ndarray:
    """Return (H, W) or (H, W, 3) pixels with contrast and cast corrected, of the same type.

    Args:
        pixels: uint8 or uint16.
        copy: its working copy.
        contrast: strength from 0 to 1.
        cast: strength from 0 to 1; without effect on one channel.
    """
    highest = int(np.iinfo(pixels.dtype).max)
    offset, gain = contrast_curve(copy, contrast) if contrast else (0.0, 1.0)
    levels = np.repeat((offset / 255 + gain * np.linspace(0, 1, highest + 1))[:, None], 3, axis=1)
    if cast and pixels.ndim == 3:
        stretched = replace(copy, values=offset + gain * copy.values)
        shift, factor, gamma = cast_curves(stretched, cast)
        levels = np.clip(shift + factor * levels, 0, 1) ** gamma
    table = np.rint(levels.clip(0, 1) * highest).astype(pixels.dtype)
    return _look_up(pixels, table)


def remove_tone(pixels: np.ndarray, toning: Toning, strength: float) -> np.ndarray:
    """Return (H, W, 3) pixels of a toned print with its tone weakened, of the same type; strength 1: neutral gray."""
    highest = int(np.iinfo(pixels.dtype).max)
    table = tone_table(toning, np.linspace(0, 255, highest + 1)) * (strength * highest / 255)
    out = np.empty_like(pixels)
    for start in range(0, len(pixels), _STRIP_ROWS):
        strip = pixels[start : start + _STRIP_ROWS]
        out[start : start + _STRIP_ROWS] = np.rint(strip - table[integer_luma(strip)]).clip(0, highest)
    return out


def _look_up(pixels: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Return each channel of `pixels` mapped by its column of `table`, (levels, 3)."""
    out = np.empty_like(pixels)
    for start in range(0, len(pixels), _STRIP_ROWS):
        rows = slice(start, start + _STRIP_ROWS)
        if pixels.ndim == 2:
            out[rows] = table[:, 0][pixels[rows]]
        else:
            for channel in range(3):
                out[rows, :, channel] = table[:, channel][pixels[rows, :, channel]]
    return out
