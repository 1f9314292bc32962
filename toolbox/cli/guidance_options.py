"""The options of `toolbox restore` for references, strokes of colour, and where pixels come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from toolbox.cli.common import FilePath, option_group
from toolbox.errors import UsageError
from toolbox.utils import files
from toolbox.utils.limits import MAX_VARIANTS, MIN_VARIANTS

if TYPE_CHECKING:
    from toolbox.inference.options import RestoreOptions
    from toolbox.inference.photo_search import LeftOut
    from toolbox.utils.console import Console

guidance_options = option_group(
    click.option(
        "--reference",
        multiple=True,
        type=FilePath(),
        metavar="PHOTO|DIR",
        help="Another photo of the same scene, or a folder that may have one. Colours and lost parts come from it "
        "where it agrees with the photo. May be given several times.",
    ),
    click.option(
        "--hints",
        type=FilePath(),
        metavar="FILE",
        help="Strokes of colour on a transparent layer of the photo's size. A stroke colours the "
        "object that it is on, up to the object's edges.",
    ),
    click.option(
        "--palette",
        type=FilePath(),
        metavar="PHOTO",
        help="A photo of another scene, in colour. Similar parts of the photo, such as the sky, get its colours.",
    ),
    click.option(
        "--variants",
        type=click.IntRange(MIN_VARIANTS, MAX_VARIANTS),
        help="Also write this many plausible colourings, and a picture of all of them. The first is the result.",
    ),
    click.option(
        "--provenance", is_flag=True, help="Also write a picture of where each pixel comes from, and metadata."
    ),
)


class Guidance(Protocol):
    """The values of these options, and the values of --out and --keep."""

    @property
    def out(self) -> Path: ...  # noqa: D102

    @property
    def reference(self) -> tuple[Path, ...]: ...  # noqa: D102

    @property
    def hints(self) -> Path | None: ...  # noqa: D102

    @property
    def palette(self) -> Path | None: ...  # noqa: D102

    @property
    def variants(self) -> int | None: ...  # noqa: D102

    @property
    def provenance(self) -> bool: ...  # noqa: D102

    @property
    def keep(self) -> str: ...  # noqa: D102


def guidance_fields(values: Guidance, count: int, left_out: LeftOut) -> dict[str, Any]:
    """Return the fields of `RestoreOptions` for `count` photographs; raise UsageError if they are not possible.

    `left_out` gets the files in the folders of references that are no photographs.
    """
    from toolbox.inference.reference_files import find_references

    if values.reference and values.keep == "none":
        raise UsageError("--reference and --keep none can't be combined: with none, no pixel is known; leave one out.")
    if values.hints is not None and count > 1:
        name = files.printable(values.hints)
        raise UsageError(f"--hints {name} is for one photo, not for {count}; restore that photo alone.")
    for option in ("hints", "palette", "variants"):
        if getattr(values, option) is not None and values.keep not in ("auto", "luma"):
            raise UsageError(f"--{option} and --keep {values.keep} can't be combined: it gives no new colours.")
    for option, path in (("--hints", values.hints), ("--palette", values.palette)):
        if path is not None:
            files.require_file(path, option)
    return {
        "references": find_references(values.reference, left_out, out=values.out),
        "hints": values.hints,
        "palette": values.palette,
        "variants": values.variants or 0,
        "provenance": values.provenance,
        "source_type": values.provenance,
    }


def with_reference_index(options: RestoreOptions, references: Sequence[Path], console: Console) -> RestoreOptions:
    """Return the options with an index, if the folders among the `references` have many photographs."""
    from toolbox.inference.reference_index import MIN_PHOTOS, build_index

    named = tuple(path for path in references if path.is_file())
    paths = [path for path in options.references if path not in named]
    if len(paths) < MIN_PHOTOS:
        return options
    with console.progress_bar("indexing references", len(paths)) as advance:
        index = build_index(paths, max_pixels=options.max_pixels, advance=advance)
    return replace(options, reference_index=replace(index, named=named))
