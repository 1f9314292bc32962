"""Decide the path of each mask: subfolders are kept, and no mask or picture beside it replaces another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from toolbox.inference.output_paths import distinct_names, fold_name


def mask_targets(relative_paths: Sequence[Path], *, with_pictures: bool) -> list[Path]:
    """Return the path of each mask below the output folder: that of its photograph, with the suffix .png.

    Where `restore` changes the name of a result to keep it apart from another one, the mask has the same stem
    (``a.jpg.png``). `toolbox.masks.sources` finds it.

    Args:
        relative_paths: the photographs, below the folder that was named.
        with_pictures: whether pictures are written beside the masks (``a.damage.png``). Their names must not be those
            of masks either.
    """
    targets = [path.with_suffix(".png") for path in relative_paths]
    # The mask a.damage.png of a photograph a.damage.jpg would be replaced by a picture of the photograph a.jpg.
    dotted = [target.with_suffix("") for target in targets if target.with_suffix("").suffix] if with_pictures else []
    shared = {fold_name(name.with_suffix(".png")) for name in dotted}
    whole = [path for path, target in zip(relative_paths, targets, strict=True) if fold_name(target) in shared]
    return distinct_names(relative_paths, targets, lambda target: {fold_name(target)}, whole=whole)


def picture_beside(mask: Path, kind: str) -> Path:
    """Return the path of a picture that is written beside a mask."""
    return mask.with_name(f"{mask.stem}.{kind}.png")
