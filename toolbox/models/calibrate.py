"""Fit trained weights to photographs without training, for generators with a method `calibrate`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from toolbox.config import recipe
from toolbox.config.recipe import merge
from toolbox.errors import DataError, UsageError
from toolbox.hooks.catalog import Catalog
from toolbox.imaging import io
from toolbox.models import weight_file
from toolbox.models.weights import load_trained, read_plan
from toolbox.utils import files

SIDE = 128  # side in pixels if the recipe has no size


def calibrate_weights(
    weights: str | Path, photos: Sequence[Path], target: Path, catalog: Catalog, options: dict[str, float]
) -> dict[str, Any]:
    """Calibrate weights on colour photographs, write them to `target`, and return the changed params.

    Args:
        weights: see `load_trained`.
        photos: one or more in colour, which the weights were not trained on; only their central squares are used.
        target: the safetensors file.
        catalog: the components.
        options: arguments of the generator's method.

    Raises:
        UsageError: the generator has no method `calibrate`.
        DataError: a photograph can't be read, or is gray.
        OutputError: `target` can't be written.
    """
    trained = load_trained(weights, torch.device("cpu"), catalog)
    calibrate = getattr(trained.network, "calibrate", None)
    if calibrate is None:
        name = trained.plan.generator.spec.name
        raise UsageError(f"Generator '{name}' can't be calibrated: it has no method `calibrate`.")
    tree = read_plan(trained.stored, catalog).tree(include_initial=False)
    side = trained.plan.settings.restoring.size or SIDE
    changed = calibrate(torch.stack([central_square(_read_colour(path), side) for path in photos]), **options)
    tree = merge(tree, {"generator": changed})
    header = replace(trained.stored.header(), recipe=recipe.dump(tree), score={}, loss=None)
    weight_file.write_weights(target, weight_file.saved_state(trained.network), header)
    return dict(changed)


def _read_colour(path: Path) -> np.ndarray:
    photo = io.read_rgb(path)
    if (photo == photo[..., :1]).all():
        raise DataError(f"{files.printable(path)} is gray, and colours are fitted to colour photographs; take it out.")
    return photo


def central_square(photo: np.ndarray, side: int) -> Tensor:
    """Return the central square of a photograph (H, W, 3) uint8, scaled, as (3, side, side) in [0, 1]."""
    height, width = photo.shape[:2]
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    square = np.ascontiguousarray(photo[top : top + short, left : left + short])
    interpolation = cv2.INTER_AREA if short > side else cv2.INTER_CUBIC
    scaled = cv2.resize(square, (side, side), interpolation=interpolation)
    return torch.from_numpy(scaled).permute(2, 0, 1).float() / 255
