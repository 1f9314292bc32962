"""`toolbox doctor --photo`: what a photograph of a print needs, in words and as a picture."""

from __future__ import annotations

from pathlib import Path

import click

from toolbox.cli.common import print_json


def diagnose_photo(path: Path, picture: Path | None, *, as_json: bool) -> None:
    """Print the diagnosis of a photograph and the command that helps; write a picture of it, if a path is given.

    Raises:
        DataError: the photograph can't be read; OutputError: the picture can't be written.
    """
    from toolbox.imaging import io
    from toolbox.inference.preview import side_by_side
    from toolbox.prints import words
    from toolbox.prints.diagnosis import diagnose
    from toolbox.utils import files

    rgb = io.read_rgb(path)
    diagnosis = diagnose(rgb)
    options = words.helpful_options(diagnosis)
    name = files.printable(path)
    command = " ".join(["toolbox restore", name, "-o restored", *options])
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
                "command": command,
            }
        )
    else:
        click.echo(f"{name}:")
        for subject, sentence in words.describe_diagnosis(diagnosis):
            click.echo(f"  {subject}: {sentence}")
        needs_nothing = diagnosis.kind == "colour" and not options
        click.echo("  it needs nothing for certain" if needs_nothing else f"  command: {command}")
    if picture is not None:
        files.ensure_folder(picture.parent)
        io.write_png(picture, side_by_side(words.draw_diagnosis(rgb, diagnosis)))
