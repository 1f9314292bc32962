"""Write the result of a photograph and the pictures beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from toolbox.errors import DataError
from toolbox.guidance import provenance
from toolbox.imaging import io
from toolbox.imaging.formats import format_of_path
from toolbox.imaging.xmp import SOURCE_PROPERTY, source_type_packet
from toolbox.inference.guided import Restoration
from toolbox.inference.options import RestoreOptions, is_complete
from toolbox.inference.output_paths import Job
from toolbox.inference.preview import side_by_side
from toolbox.utils import files


def write_outputs(
    job: Job, restored: Restoration, exif: bytes | None, options: RestoreOptions, *, is_corrected: bool
) -> tuple[str, ...]:
    """Write the result and, if asked for, the picture of its provenance; return what the format cannot hold."""
    if options.provenance:
        files.ensure_folder(job.provenance.parent)
        files.write_bytes(job.provenance, provenance.encode_picture(restored.origin))
    if is_complete(job.target) and not options.overwrite:
        return ("pictures beside the result written; the result is there already", *_lacks_source(job.target, options))
    xmp = None
    if options.source_type:
        xmp = source_type_packet(provenance.source_type(restored.origin, is_corrected=is_corrected))
    return write_result(job.target, restored.pixels, exif, xmp)


def _lacks_source(target: Path, options: RestoreOptions) -> tuple[str, ...]:
    """Return a note on an existing result whose metadata do not say what its pixels come from, if they should."""
    if not options.source_type or SOURCE_PROPERTY in target.read_bytes():
        return ()
    return ("it has no Digital Source Type: write it again with --overwrite",)


def write_result(target: Path, pixels: np.ndarray, exif: bytes | None, xmp: bytes | None = None) -> tuple[str, ...]:
    """Write the restored pixels in the format of the suffix of `target`; return what the format cannot hold."""
    image_format = format_of_path(target)
    assert image_format is not None
    data, notes = io.encode(pixels, image_format.name, exif, xmp)
    files.ensure_folder(target.parent)
    files.write_bytes(target, data)
    return notes


def write_comparison(job: Job, before: np.ndarray, after: np.ndarray) -> None:
    """Write the before-and-after picture: two (H, W, 3) uint8 pictures side by side, with a white gap."""
    if before.shape != after.shape:
        raise DataError(
            f"{files.printable(job.target)} exists and has another size than its photo; replace it with --overwrite"
        )
    io.write_png(job.comparison, side_by_side([before, after]))
