"""Decide the path of each mask: subfolders are kept, no mask replaces another, and none is used for two photographs."""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from toolbox.errors import DataError
from toolbox.inference.output_paths import Job, distinct_names, fold_name
from toolbox.masks.sources import MaskOptions, mask_file
from toolbox.utils import files


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


def shared_masks(jobs: Sequence[Job], options: MaskOptions) -> dict[Path, str]:
    """Return the photographs that a folder of masks has one mask for together, each with the reason to refuse it.

    They have the same name in two albums, or differ in the suffix: nothing says whose mask it is.

    Args:
        jobs: all photographs, also those of other processes.
        options: how the lost region is marked.
    """
    if options.path is None or not os.path.isdir(options.path):
        return {}
    alike = defaultdict(list)
    for job in jobs:
        alike[job.relative_path.with_suffix("")].append(job)
    shared: dict[Path, str] = {}
    for group in alike.values():
        if len(group) > 1:
            shared |= _shared_in(group, options)
    return shared


def _shared_in(group: Sequence[Job], options: MaskOptions) -> Mapping[Path, str]:
    owners = defaultdict(list)
    for job in group:
        with contextlib.suppress(DataError):  # the photograph has no mask, which is reported for it
            owners[mask_file(options, job.photo, job.relative_path, job.target)].append(job)
    return {job.photo: _why_shared(mask, jobs) for mask, jobs in owners.items() if len(jobs) > 1 for job in jobs}


def _why_shared(mask: Path, jobs: Sequence[Job]) -> str:
    names = sorted({job.photo.name for job in jobs})
    if len(names) > 1:
        remedy = f"name the masks {' and '.join(files.printable(f'{name}.png') for name in names)}"
    else:
        remedy = "restore them in separate calls, each with its own folder of masks"
    photos = " and of ".join(files.printable(job.photo) for job in jobs)
    return f"{files.printable(mask)} would be the mask of {photos}; {remedy}"
