"""Restore one photograph that is a file, a PIL image or an array, without writing a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal, get_args

from PIL import Image

from toolbox.config.python_values import plain_value
from toolbox.errors import UsageError
from toolbox.hooks import catalog
from toolbox.hooks.specs import DEFAULT_WEIGHTS
from toolbox.imaging import io
from toolbox.imaging.mask_meaning import MaskMeaning
from toolbox.imaging.pixels import as_rgb, to_8bit
from toolbox.inference.damage import lift_damage
from toolbox.inference.detectors import damage_detector, find_detector
from toolbox.inference.fillers import default_fill
from toolbox.inference.guided import check_keep
from toolbox.inference.hint_files import as_hints
from toolbox.inference.loading import load_restorer
from toolbox.inference.options import RestoreOptions, choose_keep
from toolbox.inference.photo import restore_pixels
from toolbox.inference.photo_arrays import PhotoLike, ReferencesLike, as_mask, as_photo
from toolbox.inference.photo_mask import add_damage, add_detected
from toolbox.inference.print_correction import correct_photo, find_corners
from toolbox.inference.reference_files import as_reference, palette_pixels
from toolbox.inference.restorer import KEEP_MODES, Restorer
from toolbox.masks.detectors import PAINTED_SHAPE, LoadedDetector
from toolbox.masks.sources import (
    TOLERANCE,
    MaskOptions,
    check_not_inverted,
    check_share,
    grow_mask,
    mask_from_options,
    parse_color,
)
from toolbox.prints.corrections import DIAGNOSED, Corrections, crop_photo
from toolbox.prints.sheet import cut_sheet
from toolbox.utils.arguments import is_between, is_whole
from toolbox.utils.limits import MAX_GROW, MAX_SATURATION


def restore(
    photo: PhotoLike,
    mask: PhotoLike | Literal["auto", "none"] = "auto",
    *,
    weights: str | PathLike[str] | Restorer = DEFAULT_WEIGHTS,
    keep: Literal["auto", "luma", "rgb", "none"] = "auto",
    tone: Literal["colour", "keep"] = "colour",
    color: str | None = None,
    tolerance: int = TOLERANCE,
    mask_means: MaskMeaning = "auto",
    allow_large: bool = False,
    grow: int = 0,
    repair: bool | Mapping[str, object] = False,
    reference: ReferencesLike | None = None,
    hints: PhotoLike | None = None,
    palette: PhotoLike | None = None,
    detector: str | None = None,
    fill: str | None = None,
    post: str | Sequence[str] | None = None,
    saturation: float | None = None,
    contrast: float = 0.0,
    cast: float = 0.0,
    evenness: float = 0.0,
    crop: Literal["none", "print"] = "none",
    auto: bool = False,
    tile: int | None = None,
    device: str | None = None,
) -> Any:  # noqa: ANN401 - an image for an image, else an array
    """Restore one photograph as `toolbox restore` does, and return the result. Nothing is written.

    Args:
        photo: a path, a PIL image, or an array (H, W), (H, W, 1) or (H, W, 3), uint8 or uint16. It is not changed.
        mask: "auto" finds the lost region, "none" skips that; or a mask of the photograph's size, white or True where
            it is lost: a path, a PIL image, or an array (H, W) or (H, W, 1), bool or uint8.
        weights: a published name, a weight file, a run or its folder; or a restorer, which saves loading the
            weights again.
        keep: what stays unchanged; "auto": the luma of a gray photo, all known pixels of a colour one.
        tone: give a sepia photo colours, or keep its tone.
        color: the colour that marks lost pixels, such as "#ffffff"; besides those of a mask.
        tolerance: how much each channel may differ from `color`; only with one.
        mask_means: what is lost in a mask that is a path or a PIL image: "painted", "transparent" or "white"; "auto":
            white, or what its transparency shows.
        allow_large: whether a mask is accepted that looks inverted, or a lost region of over 60 % of the photograph.
        grow: widen the lost region by this many pixels.
        repair: whether scratches, folds, dust, stains and torn parts are found and filled too; or the params of the
            detector, as ``{"kinds": ["scratch"], "sensitivity": 0.7}``.
        reference: a second photograph of the same scene, or several, in any of these forms; see
            `toolbox.load_restorer`.
        hints: strokes of colour on a transparent layer, a path, a PIL image or an array (H, W, 4); see
            `toolbox.load_restorer`.
        palette: a photograph of another scene; similar parts get its colours; a path, a PIL image or an array.
        detector: the detector for the mask "auto" (`toolbox list detectors`); None: that of the restorer, if `weights`
            is one, else "painted-shape".
        fill: a filler or "network", as in `toolbox.load_restorer`; None: "auto" with the weights "luma", else as their
            recipe says. It must be None if `weights` is a restorer, which keeps what it was loaded with; so must
            `post`, `tile` and `device`.
        post: the name of a post-processor, or several names, in order; None: as in the recipe.
        saturation: factor of the predicted colours, 0 (gray) to 2; None: that of the restorer.
        contrast: how far the contrast of a faded print is restored, 0 (not at all) to 1.
        cast: how far yellowing or a cast is removed, 0 to 1.
        evenness: how far a vignette or a shadow over the sheet is evened out, 0 to 1.
        crop: "print" cuts out the sheet of a print that was photographed on a table; the result is then smaller.
        auto: whether a diagnosis decides about `crop`, `contrast` and `cast`, as far as they are not given.
        tile: the side in pixels of the tiles of large photographs; None: as in the recipe.
        device: "cpu", "cuda", "cuda:1", "mps"; None for the best available.

    Returns:
        A PIL image for a PIL image. Otherwise (H, W, 3) RGB; uint16 for a photograph of 16 bits, else uint8.

    Raises:
        DataError: a file that can't be read, or a mask of another size.
        UsageError: an option that is not valid; WeightsError: weights that can't be used.
        TypeError, ValueError: a photograph or a mask that is none of these, an array of another type or shape.
    """
    if keep not in ("auto", *KEEP_MODES):
        raise UsageError(f"keep is '{keep}'; it must be auto or one of {', '.join(KEEP_MODES)}.")
    if tone not in ("colour", "keep"):
        raise UsageError(f"tone is '{tone}'; it must be colour or keep.")
    if mask is None:
        raise TypeError('mask is None; write "auto" to find the lost region, or "none" if nothing is lost')
    if mask_means not in get_args(MaskMeaning):
        raise UsageError(f"mask_means is '{mask_means}'; it must be one of {', '.join(get_args(MaskMeaning))}.")
    # A number of NumPy may have too few bits for what is computed with it.
    tolerance, grow, tile, saturation = map(plain_value, (tolerance, grow, tile, saturation))
    evenness, contrast, cast = map(plain_value, (evenness, contrast, cast))
    auto, repair, allow_large = map(plain_value, (auto, repair, allow_large))
    _check_whole("tolerance", tolerance, 255)
    _check_whole("grow", grow, MAX_GROW)
    if not isinstance(auto, bool):
        raise UsageError(f"auto is {auto!r}; it must be True or False.")
    if saturation is not None and not is_between(saturation, 0, MAX_SATURATION):
        raise ValueError(f"a saturation of {saturation!r} is not possible; use 0 to {MAX_SATURATION}")
    _check_restorer_keeps(weights, fill=fill, post=post, tile=tile, device=device)
    _check_effects(
        mask, color=color, tolerance=tolerance, mask_means=mask_means, detector=detector, keep=keep, tone=tone
    )
    decoded = as_photo(photo)
    corrections = Corrections(crop=crop, evenness=evenness, contrast=contrast, cast=cast)
    diagnosed = frozenset(name for name in DIAGNOSED if auto and getattr(corrections, name) in (0, "none"))
    rgb = io.to_rgb8(decoded)
    reference = as_reference(reference)
    hints = None if hints is None else as_hints(hints, rgb.shape[:2])
    finds = isinstance(mask, str) and mask == "auto"
    options = MaskOptions(
        color=None if color is None else parse_color(color),
        tolerance=tolerance,
        search=finds,
        detector=_detector(detector, weights),
        repair=_repair(repair, weights),
        grow=grow,
        allow_large=allow_large,
    )
    unnamed = Path("the photo")
    marked = mask_from_options(decoded, rgb, options, path=unnamed, relative_path=unnamed)
    if not (isinstance(mask, str) and mask in ("auto", "none")):
        given = as_mask(mask, rgb.shape[:2], mask_means)
        check_not_inverted(given, "the mask", options)
        marked = marked | given
    corners = find_corners(decoded, corrections, diagnosed)
    if corners is not None:
        decoded, marked = crop_photo(decoded, corners), cut_sheet(marked, corners)
        rgb = io.to_rgb8(decoded)
        hints = None if hints is None else cut_sheet(hints, corners, exact=True)
    toning, lost = add_detected(rgb, grow_mask(marked, grow), options)
    toning, lost, damage = add_damage(rgb, toning, lost, options)
    check_share(lost, options)
    if damage is not None:
        pixels, lost = lift_damage(decoded.pixels, damage)
        decoded = replace(decoded, pixels=pixels)
    decoded, _, toning = correct_photo(decoded, corrections, diagnosed, toning, lost)
    chosen = choose_keep(RestoreOptions(keep=keep), toning)
    keeps_tone = tone == "keep" and toning.kind == "toned" and chosen == "luma"
    check_keep(
        "rgb" if keeps_tone else chosen,
        reference=reference is not None,
        hints=hints is not None,
        palette=palette is not None,
    )
    stays = (chosen == "rgb" or keeps_tone) and not lost.any()
    # What is given and not the default is checked also if nothing is restored.
    has_choices = weights != DEFAULT_WEIGHTS or any(value is not None for value in (fill, post, tile, device))
    if isinstance(weights, Restorer):
        restorer = weights
    elif has_choices or not stays:
        filler = default_fill(weights) if fill is None else fill
        restorer = load_restorer(weights, device=device, tile=tile, fill=filler, post=post)
    if stays:
        pixels = as_rgb(decoded.pixels)
    else:
        # What it finds without a mask is in the mask already.
        restorer = replace(
            restorer, keep=chosen, repair=None, saturation=restorer.saturation if saturation is None else saturation
        )
        colors = None if palette is None else palette_pixels(as_photo(palette))
        tone_kept = toning if keeps_tone else None
        pixels = restore_pixels(decoded, lost, chosen, restorer, tone_kept, reference, hints, colors).pixels
    return Image.fromarray(to_8bit(pixels)) if isinstance(photo, Image.Image) else pixels


def _check_whole(name: str, value: object, most: int) -> None:
    if not is_whole(value, 0, most):
        raise UsageError(f"{name} is {value!r}; it must be a whole number from 0 to {most}.")


def _check_effects(
    mask: object, *, color: object, tolerance: int, mask_means: str, detector: object, keep: str, tone: str
) -> None:
    """Raise UsageError for an option that has no effect with the others."""
    finds = isinstance(mask, str) and mask == "auto"
    is_layer = isinstance(mask, Image.Image | PathLike) or (isinstance(mask, str) and mask not in ("auto", "none"))
    if color is None and tolerance != TOLERANCE:
        raise UsageError("tolerance has no effect without color; give the colour that marks what is lost.")
    if mask_means != "auto" and not is_layer:
        raise UsageError("mask_means has an effect only on a mask that is a path or a PIL image; leave it out.")
    if detector is not None and (not finds or color is not None):
        raise UsageError("detector has no effect: mask or color already say what is lost; leave one of them out.")
    if tone == "keep" and keep not in ("auto", "luma"):
        raise UsageError(f'tone "keep" and keep "{keep}" can\'t be combined: a tone is kept instead of new colours.')


def _check_restorer_keeps(weights: object, **options: object) -> None:
    """Raise UsageError if `weights` is a restorer and an option is given that it was loaded with."""
    given = [name for name, value in options.items() if value is not None]
    if given and isinstance(weights, Restorer):
        raise UsageError(
            f"weights is a restorer, which keeps its own {' and '.join(given)}; give them to toolbox.load_restorer."
        )


def _detector(name: str | None, weights: str | PathLike[str] | Restorer) -> LoadedDetector:
    if name is not None:
        return find_detector(name, catalog.load())
    return (weights.detector if isinstance(weights, Restorer) else None) or PAINTED_SHAPE


def _repair(repair: bool | Mapping[str, object], weights: str | PathLike[str] | Restorer) -> LoadedDetector | None:
    if repair is False:
        return weights.repair if isinstance(weights, Restorer) else None
    return damage_detector(repair, catalog.load())
