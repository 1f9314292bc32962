"""Decide the path of each mask: subfolders are kept, and no mask or picture beside it replaces another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from toolbox.inference.output_paths import fold_name


def mask_targets(relative_paths: Sequence[Path], *, with_pictures: bool) -> list[Path]:
    """Return the path of each mask below the output folder: that of its photograph, with the suffix .png.

    It has the whole name of its photograph (``a.jpg.png``) if two masks would have the same name, or names that differ
    only in case. `toolbox.masks.sources` finds both.

    Args:
        relative_paths: the photographs, below the folder that was named.
        with_pictures: whether pictures are written beside the masks (``a.damage.png``). Their names must not be those
            of masks either.
    """
    targets = [path.with_suffix(".png") for path in relative_paths]
    counts = Counter(map(fold_name, targets))
    # The mask a.damage.png of a photograph a.damage.jpg would be replaced by a picture of the photograph a.jpg.
    dotted = [target.with_suffix("") for target in targets if target.with_suffix("").suffix] if with_pictures else []
    shared = {fold_name(name.with_suffix(".png")) for name in dotted}
    return [
        path.with_name(f"{path.name}.png") if counts[fold_name(target)] > 1 or fold_name(target) in shared else target
        for path, target in zip(relative_paths, targets, strict=True)
    ]


def picture_beside(mask: Path, kind: str) -> Path:
    """Return the path of a picture that is written beside a mask."""
    return mask.with_name(f"{mask.stem}.{kind}.png")
