"""`toolbox doctor --photo`: what a photograph of a print needs, in words and as a picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from toolbox.cli.common import load_catalog, print_json, require_new_file

if TYPE_CHECKING:
    import numpy as np

    from toolbox.hooks.catalog import Catalog
    from toolbox.prints.sheet import Sheet

# A kind of damage is named if it covers at least this fraction of the picture. In sound photographs, about this much is
# marked.
_MIN_DAMAGE = 0.0005


def diagnose_photo(context: click.Context, path: Path, picture: Path | None, *, as_json: bool) -> None:
    """Print the diagnosis of a photograph and the command that helps; write a picture of it, if a path is given.

    Raises:
        UsageError: the picture exists, or is no PNG.
        DataError: the photograph can't be read; OutputError: the picture can't be written.
    """
    from toolbox.imaging import io
    from toolbox.inference.preview import side_by_side
    from toolbox.prints import words
    from toolbox.prints.diagnosis import diagnose
    from toolbox.utils import files
    from toolbox.utils.shell import shell_word

    if picture is not None:
        require_new_file(picture, ".png")
        files.ensure_folder(picture.parent)
    photo = io.read(path, accept_cut=True)
    rgb = io.to_rgb8(photo)
    diagnosis = diagnose(rgb)
    diagnosis = replace(diagnosis, damage=_damage(rgb, diagnosis.sheet, load_catalog(context)))
    options = words.helpful_options(diagnosis)
    name = files.printable(path)
    command = " ".join(["toolbox restore", shell_word(path), "-o restored", *options])
    if as_json:
        sheet = diagnosis.sheet
        print_json(
            {
                "photo": name,
                "kind": diagnosis.kind,
                "sheet": None if sheet is None else sheet.corners.round(1).tolist(),
                "contrast": round(diagnosis.contrast, 3),
                "is faded": diagnosis.is_faded,
                "cast": round(diagnosis.cast, 1),
                "has cast": diagnosis.has_cast,
                "darker corners": round(diagnosis.darker_corners, 3),
                "damage": {kind: round(share, 5) for kind, share in diagnosis.damage.items()},
                "cautions": list(photo.cautions),
                "command": command,
            }
        )
    else:
        click.echo(f"{name}:")
        for caution in photo.cautions:
            click.echo(f"  file: {caution}")
        for subject, sentence in words.describe_diagnosis(diagnosis):
            click.echo(f"  {subject}: {sentence}")
        needs_nothing = diagnosis.kind == "colour" and not options
        click.echo("  no correction is clearly needed" if needs_nothing else f"  command: {command}")
    if picture is not None:
        io.write_png(picture, side_by_side(words.draw_diagnosis(rgb, diagnosis)))


def _damage(rgb: np.ndarray, sheet: Sheet | None, catalog: Catalog) -> dict[str, float]:
    """Return the fraction of the print with each kind of damage; empty if no detector of damage is installed."""
    from toolbox.color import integer_luma
    from toolbox.inference.detectors import damage_detector, damage_kinds
    from toolbox.masks import kinds_of_damage
    from toolbox.prints.sheet import cut_sheet

    if not damage_kinds(catalog):
        return {}
    detector = damage_detector(True, catalog)
    assert detector is not None
    detection = detector(integer_luma(rgb if sheet is None else cut_sheet(rgb, sheet.corners)))
    return {kind: share for kind, share in kinds_of_damage.shares(detection).items() if share >= _MIN_DAMAGE}
