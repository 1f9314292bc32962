"""The competition's score of files: a folder or a submission zip against the truths."""

from __future__ import annotations

import csv
import io
import os
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from toolbox.data.folders import subfolder_hint
from toolbox.data.left_out import describe_unused
from toolbox.errors import DataError
from toolbox.evaluation.figures import ExtraFigures, Figures, FigureTable, measure, summarize
from toolbox.evaluation.metrics import Score
from toolbox.imaging import io as image_io
from toolbox.imaging.mask_meaning import MaskMeaning
from toolbox.inference.output_folders import describe_pictures, is_picture_beside
from toolbox.masks.lost_region import find_lost_region, pair_mask
from toolbox.masks.sources import check_mask_size, looks_inverted, transparent_pixels
from toolbox.utils import files, surface
from toolbox.utils.file_names import comparable_stem
from toolbox.utils.shell import shell_word

# zipfile raises RuntimeError on an encrypted member, and NotImplementedError on a method that it lacks.
ZIP_ERRORS = (OSError, zipfile.BadZipFile, ValueError, RuntimeError, NotImplementedError, zlib.error, EOFError)


@dataclass(frozen=True, kw_only=True)
class FileScores:
    """The scores of files.

    Attributes:
        figures: all figures of each file, their means, and the intervals of the means.
        notes: a line for each part that is undefined, and for what to know about the photographs.
        seen: "training" or "validation" for each file that the run of the scored weights has used.
    """

    figures: FigureTable
    notes: tuple[str, ...]
    seen: Mapping[str, str] = field(default_factory=dict)

    @property
    def mean(self) -> Score:
        """The score of all files."""
        return _score(self.figures.mean)

    @property
    def images(self) -> dict[str, Score]:
        """The score of each file, by its name."""
        return {name: _score(row) for name, row in self.figures.images.items()}


def score_files(
    predictions: Path,
    truth: Path,
    *,
    masks: Path | None = None,
    inputs: Path | None = None,
    mask_means: MaskMeaning = "auto",
    extra: ExtraFigures | None = None,
) -> FileScores:
    """Score each prediction against the truth of the same name; suffixes may differ.

    Args:
        predictions: a folder, or a submission zip.
        truth: the folder of the colour originals.
        masks: a folder of masks.
        mask_means: which pixels of a mask are lost; see `toolbox.imaging.mask_meaning`.
        inputs: a folder of damaged inputs, in which the lost region is found. Used if there are no masks. Without
            both, M and the score are None.
        extra: the figures that need weights or a plugin.

    Raises:
        UsageError: a folder does not exist.
        DataError: a prediction without a truth or the reverse, different sizes, or a file that can't be read.
    """
    of_masks, of_inputs = surface.option("masks"), surface.option("inputs")
    of_truth = surface.words(command="TRUTH", python="truth")
    for option, folder in ((of_truth, truth), (of_masks, masks), (of_inputs, inputs)):
        if folder is not None:
            files.require_folder(folder, option)
    left_out: list[str] = []
    predicted, truths = _find_predictions(predictions, left_out), _by_stem(truth, left_out)
    _require_partners(predictions, truth, set(predicted), set(truths), left_out)
    mask_folder = masks or inputs
    mask_files = _by_stem(mask_folder, left_out) if mask_folder else None
    extra = extra or ExtraFigures()
    scores: dict[str, Figures] = {}
    inverted: list[str] = []
    marks_all: list[str] = []
    notes = left_out + ([] if mask_files else [f"M and the score need {of_masks} or {of_inputs}; they are left out."])
    for stem in sorted(predicted):
        name = predicted[stem].name
        restored, original = (
            _rgb(photo, path, notes)
            for photo, path in ((predicted[stem].read(), name), (image_io.read(truths[stem]), truths[stem]))
        )
        if restored.shape != original.shape:
            sizes = [f"{picture.shape[1]}x{picture.shape[0]}" for picture in (restored, original)]
            raise DataError(f"{name} is {sizes[0]}, and its truth {truths[stem]} is {sizes[1]}.")
        mask = None
        if mask_files is not None:
            if stem not in mask_files:
                raise DataError(f"{name} has no partner in {mask_folder}.")
            path = mask_files[stem]
            if masks:
                mask = image_io.read_mask(path, meaning=mask_means, warn=notes.append)
            else:
                mask = _mask_of_input(path, original, notes)
            check_mask_size(mask, original.shape[:2], name=str(mask_files[stem]), photo_name=str(truths[stem]))
            if masks and looks_inverted(mask):
                inverted.append(path.name)
            if masks and mask.all():
                marks_all.append(path.name)
        scores[name] = measure(restored, original, mask, extra)
        if mask is not None and scores[name]["M"] is None:
            notes.append(f"{name}: {int(mask.sum())} lost pixels; M needs seven, so it has no M and no score.")
    notes += [*_mask_notes(inverted, marks_all), *extra.all_notes()]
    return FileScores(figures=summarize(scores), notes=tuple(notes))


def _mask_notes(inverted: Sequence[str], marks_all: Sequence[str]) -> list[str]:
    """Return a line on masks that look inverted, and one on those that mark everything, given by their names."""
    lines = (
        (
            inverted,
            f"M and the score may be those of the undamaged parts: masks look inverted ({files.listed(inverted)}). "
            "A mask is white where the photograph was lost.",
        ),
        (
            marks_all,
            f"M is that of the whole photograph where all of it is marked as lost ({files.listed(marks_all)}). "
            "A mask is white only where the photograph was lost.",
        ),
    )
    return [line for masks, line in lines if masks]


def write_csv(path: Path, scores: FileScores) -> None:
    """Write one row per image: its name and figures, and its use in the run; an undefined value is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    uses = ["seen"] if scores.seen else []
    writer.writerow(["name", *scores.figures.mean, *uses])
    for name, figures in scores.figures.images.items():
        values = ("" if value is None else repr(value) for value in figures.values())
        writer.writerow([name, *values, *(scores.seen.get(name, "") for _ in uses)])
    files.write_text(path, text.getvalue())


def _score(figures: Figures) -> Score:
    return Score(**{name: figures.get(name) for name in ("S", "M", "C", "score")})


@dataclass(frozen=True, kw_only=True)
class _Prediction:
    """A prediction that is not read yet.

    Attributes:
        name: its file name.
        path: the file, or the zip that holds it.
        member: its name in the zip; empty if it is a file.
    """

    name: str
    path: Path
    member: str = ""

    def read(self) -> image_io.Photo:
        if not self.member:
            return image_io.read(self.path)
        try:
            with zipfile.ZipFile(self.path) as archive:
                return image_io.decode(archive.read(self.member), self.member)
        except ZIP_ERRORS as error:
            name, path = files.printable(self.member), files.printable(self.path)
            raise DataError(f"{name} in {path} can't be read: {files.printable(str(error))}") from error


def zip_remedy(folder: str | Path) -> str:
    """Return the sentence that says how the pictures of a folder are zipped without it."""
    name = shell_word(str(folder).rstrip("/"))
    return f"Zip the pictures without the folder: python -m zipfile -c submission.zip {name}/*.png"


def nested_remedy(name: str) -> str:
    """Return the sentence of `zip_remedy` for the name of a file that is in a folder of a zip."""
    return zip_remedy(name.replace("\\", "/").rpartition("/")[0])


def _find_predictions(path: Path, left_out: list[str]) -> dict[str, _Prediction]:
    """Return the predictions in a folder or a zip, by their stem. A line on other files is added to `left_out`."""
    files.require_readable(path, "PREDICTIONS", "folder or zip")
    if os.path.isdir(path):
        return {stem: _Prediction(name=file.name, path=file) for stem, file in _by_stem(path, left_out).items()}
    files.require_no_pipe(path)
    try:
        with zipfile.ZipFile(path) as archive:
            names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
        system = [name for name in names if _is_of_system(name)]
    except ZIP_ERRORS as error:
        reason = files.printable(str(error))
        raise DataError(f"{files.printable(path)} is neither a folder nor a readable zip: {reason}") from error
    if system:
        names = [name for name in names if not _is_of_system(name)]
        left_out.append(f"{files.printable(path)}: files of macOS or Windows left out: {files.listed(system)}.")
    nested = next((name for name in names if "/" in name or "\\" in name), None)
    if nested is not None:
        remedy = nested_remedy(nested)
        raise DataError(
            f"{files.printable(path)} has {files.printable(nested)} in a folder; a submission has none. {remedy}"
        )
    if not names:
        raise DataError(f"{files.printable(path)} has no images.")
    predictions: dict[str, _Prediction] = {}
    for name in names:
        stem = comparable_stem(name)
        if stem in predictions:
            raise DataError(
                f"{files.printable(path)} has {files.printable(predictions[stem].name)} and {files.printable(name)}; "
                "names must differ before the suffix."
            )
        predictions[stem] = _Prediction(name=name, path=path, member=name)
    return predictions


def _is_of_system(name: str) -> bool:
    """Return whether a file in a zip was added by the operating system, and not by the user."""
    base = name.rpartition("/")[2]
    return name.startswith("__MACOSX/") or base.startswith("._") or base in (".DS_Store", "Thumbs.db", "desktop.ini")


def _by_stem(folder: Path, left_out: list[str]) -> dict[str, Path]:
    """Return the images in a folder, by their stem. A line on other files and subfolders is added to `left_out`."""
    images: dict[str, Path] = {}
    found = image_io.find_images(folder)
    if line := describe_unused([folder], found):
        left_out.append(f"{files.printable(folder)}: {line}.")
    pictures: list[Path] = []
    for path in found:
        if is_picture_beside(path):
            pictures.append(path)
            continue
        stem = comparable_stem(path)
        if stem in images:
            both = f"{files.printable(images[stem].name)} and {files.printable(path.name)}"
            raise DataError(f"{files.printable(folder)} has {both}; names must differ before the suffix.")
        images[stem] = path
    if line := describe_pictures(pictures):
        left_out.append(f"{files.printable(folder)}: {line}.")
    if not images:
        raise DataError(f"{files.printable(folder)} has no images.{subfolder_hint(folder)}")
    return images


def _require_partners(
    predictions: Path, truth: Path, predicted: set[str], truths: set[str], left_out: list[str]
) -> None:
    for stems, partners, folder in ((predicted, truths, truth), (truths, predicted, predictions)):
        alone = sorted(stems - partners)
        if alone:
            rest = f" (and {len(alone) - 1} more)" if len(alone) > 1 else ""
            place = files.printable(folder)
            message = f"{alone[0]}{rest} has no partner in {place}; names must be the same before the suffix."
            raise DataError(" ".join([message, *left_out]))


def _rgb(photo: image_io.Photo, name: str | Path, notes: list[str]) -> np.ndarray:
    """Return a photograph as (H, W, 3) uint8; lines on what its file has besides these pixels are added to `notes`."""
    notes += image_io.caution_lines(photo, name)
    if (hidden := transparent_pixels(photo)).any():
        share = f"{100 * hidden.mean():.1f} %"
        notes.append(f"{files.printable(name)}: {share} of it is transparent; the colours that it hides were scored.")
    return image_io.to_rgb8(photo)


def _mask_of_input(path: Path, truth: np.ndarray, notes: list[str]) -> np.ndarray:
    """Return the lost region of an input, (H, W) bool: with its transparent parts, as a restoration counts them."""
    photo = image_io.read_with_cautions(path, notes.append)
    gray = image_io.to_gray8(photo)
    mask = pair_mask(gray, truth) if gray.shape == truth.shape[:2] else None
    mask = find_lost_region(gray) if mask is None else mask
    return mask | transparent_pixels(photo)
