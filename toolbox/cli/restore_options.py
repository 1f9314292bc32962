"""The arguments of `toolbox restore`, and the options that are made from them."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
from click.core import ParameterSource

from toolbox.cli.damage_options import damage_params
from toolbox.cli.guidance_options import guidance_fields
from toolbox.cli.print_options import correction_fields
from toolbox.errors import UsageError
from toolbox.hooks.specs import DEFAULT_WEIGHTS

if TYPE_CHECKING:
    from toolbox.hooks.catalog import Catalog
    from toolbox.imaging.mask_meaning import MaskMeaning
    from toolbox.inference.options import RestoreOptions
    from toolbox.inference.photo_search import LeftOut
    from toolbox.inference.restorer import Restorer
    from toolbox.masks.sources import MaskOptions


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """The arguments and options of the command, as they are declared at `command`."""

    photos: tuple[Path, ...]
    out: Path
    weights: str
    fill: str | None
    detector: str | None
    post: tuple[str, ...]
    mask: str
    color: str | None
    tolerance: int
    repair: bool
    kinds: str | None
    sensitivity: float | None
    damage_weights: str | None
    grow: int
    keep: Literal["auto", "luma", "rgb", "none"]
    tone: Literal["colour", "keep"]
    tile: int | None
    saturation: float
    device: str | None
    format: Literal["lossless", "keep"]
    contrast: float | None
    cast: float | None
    evenness: float | None
    crop: Literal["none", "print"] | None
    auto: bool
    before_after: bool
    reference: tuple[Path, ...]
    hints: Path | None
    palette: Path | None
    variants: int | None
    provenance: bool
    preview: bool
    mask_means: MaskMeaning
    allow_large: bool
    archive: Path | None
    report: bool
    overwrite: bool
    dry_run: bool
    max_pixels: int
    as_json: bool


# These choose where results go, which files are written beside them, or the device, but not what a result looks like.
_NO_RESULT_FLAGS = {
    *("photos", "out", "device", "format", "before_after", "provenance", "variants", "preview", "archive", "report"),
    *("overwrite", "dry_run", "max_pixels", "allow_large", "as_json"),
}
# A file may be replaced by another one of the same name.
_FILE_FLAGS = {"reference", "hints", "palette", "damage_weights"}


def result_flags(arguments: Arguments, context: click.Context) -> dict[str, str]:
    """Return the options that decide what a result looks like and differ from the defaults; weights always."""
    from toolbox.inference.flag_changes import identify_file

    flags = {"weights": identify_file(arguments.weights, photos=False)}
    for parameter in context.command.params:
        name = parameter.name or ""
        value = getattr(arguments, name, None)
        if name not in _NO_RESULT_FLAGS | {"weights"} and value not in (parameter.default, None, (), False):
            values = [str(item) for item in value] if isinstance(value, tuple) else [str(value)]
            if name in _FILE_FLAGS:
                values = [identify_file(item, photos=name != "damage_weights", skip=arguments.out) for item in values]
            text = ", ".join(values)
            # The same colour may be written in several ways.
            flags[name.replace("_", "-")] = f"#{text.strip().lstrip('#').lower()}" if name == "color" else text
    return flags


def restore_options(arguments: Arguments, count: int, context: click.Context, left_out: LeftOut) -> RestoreOptions:
    """Return the options for each of `count` photographs; `left_out` gets more files, see `guidance_fields`."""
    from toolbox.inference.options import RestoreOptions

    if arguments.tone == "keep" and arguments.keep not in ("auto", "luma"):
        raise UsageError(
            f"--tone keep and --keep {arguments.keep} can't be combined: a tone is kept instead of new colours; leave "
            "one out."
        )
    return RestoreOptions(
        mask_options=_mask_options(arguments, count, context),
        keep=arguments.keep,
        keep_tone=arguments.tone == "keep",
        **correction_fields(arguments),
        before_after=arguments.before_after,
        **guidance_fields(arguments, count, left_out),
        preview=arguments.preview,
        overwrite=arguments.overwrite,
        max_pixels=arguments.max_pixels,
    )


def mask_path(arguments: Arguments) -> Path | None:
    """Return the file or folder that --mask names, or None."""
    return None if arguments.mask in ("", "auto", "none") else Path(arguments.mask)


def _mask_options(arguments: Arguments, count: int, context: click.Context) -> MaskOptions:
    from toolbox.masks.sources import MaskOptions, parse_color

    if arguments.color is None and context.get_parameter_source("tolerance") is not ParameterSource.DEFAULT:
        raise UsageError("--tolerance needs a colour; add one, for example --color '#ffffff'.")
    path = mask_path(arguments)
    if arguments.detector is not None and (arguments.mask != "auto" or arguments.color is not None):
        raise UsageError(
            "--detector can't be combined with --mask or --color, which already say what is lost; leave one out."
        )
    if arguments.mask_means != "auto" and path is None:
        raise UsageError("--mask-means needs a mask file; add one, for example --mask mask.png.")
    if path is not None:
        _check_mask_path(arguments, count)
    return MaskOptions(
        path=path,
        color=None if arguments.color is None else parse_color(arguments.color),
        tolerance=arguments.tolerance,
        search=arguments.mask != "none",
        grow=arguments.grow,
        meaning=arguments.mask_means,
        allow_large=arguments.allow_large,
        max_pixels=arguments.max_pixels,
    )


def _check_mask_path(arguments: Arguments, count: int) -> None:
    from toolbox.inference import output_paths
    from toolbox.utils import files

    if not arguments.mask:
        raise UsageError("--mask is empty; name a file or a folder, auto or none.")
    path = Path(arguments.mask)
    if arguments.color is not None:
        raise UsageError("--color and a --mask file can't be combined; leave one out.")
    try:
        files.require_readable(path, "--mask")
    except UsageError as error:
        raise UsageError(f"{error} auto finds the lost region, none skips it.") from error
    is_folder = os.path.isdir(path)
    if not is_folder and count > 1:
        name = files.printable(path)
        raise UsageError(f"--mask {name} is one mask for {count} photos; use a folder with one mask for each.")
    output_paths.require_separate_folder(arguments.out, path if is_folder else path.parent, "the masks'")


def check_weights(arguments: Arguments, restorer: Restorer) -> Restorer:
    """Return the restorer; raise UsageError for --variants with weights that can't make them."""
    if arguments.variants and not restorer.predicts_classes:
        raise UsageError(
            "--variants needs weights that predict classes of colours, as luma does; leave it out, or choose others."
        )
    return restorer


def with_detector(arguments: Arguments, options: RestoreOptions, catalog: Catalog) -> RestoreOptions:
    """Return the options with the detector that `--detector` or the recipe of the weights names, if one does."""
    from toolbox.inference import detectors
    from toolbox.masks.detectors import PAINTED_SHAPE

    if arguments.detector is not None:
        detector = detectors.find_detector(arguments.detector, catalog)
    elif arguments.weights == DEFAULT_WEIGHTS:
        return options
    else:
        detector = detectors.weights_detector(arguments.weights, catalog) or PAINTED_SHAPE
    return replace(options, mask_options=replace(options.mask_options, detector=detector))


def with_repair(arguments: Arguments, options: RestoreOptions, catalog: Catalog) -> RestoreOptions:
    """Return the options with the detector of damage, if `--repair` asks for it."""
    from toolbox.inference.detectors import damage_detector

    params = damage_params(
        "--repair", arguments.repair, arguments.kinds, arguments.sensitivity, arguments.damage_weights
    )
    repair = damage_detector(params, catalog)
    return replace(options, mask_options=replace(options.mask_options, repair=repair))
