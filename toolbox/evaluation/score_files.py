"""The competition's score over files: a folder or a submission zip against the truths."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from toolbox.errors import DataError, UsageError
from toolbox.evaluation import metrics
from toolbox.evaluation.metrics import Score
from toolbox.imaging import io as image_io
from toolbox.masks import lost_region
from toolbox.utils import files


@dataclass(frozen=True, kw_only=True)
class FileScore:
    """The scores by image name, their mean, and a line for each thing that could not be had."""

    mean: Score
    images: dict[str, Score]
    notes: tuple[str, ...]


def score_files(predictions: Path, truth: Path, *, masks: Path | None = None, inputs: Path | None = None) -> FileScore:
    """Score every prediction against the truth of the same name (endings apart).

    Args:
        predictions: a folder, or a submission zip.
        truth: the folder of the colour originals.
        masks: a folder of masks, white is lost; or
        inputs: a folder of damaged inputs. With neither, M and the score are None.

    Raises:
        UsageError: a folder that is not there.
        DataError: a prediction without a truth or the other way round, unequal sizes, an unreadable file.
    """
    for option, folder in (("TRUTH", truth), ("--masks", masks), ("--inputs", inputs)):
        if folder is not None and not folder.is_dir():
            raise UsageError(f"{option} {folder}: there is no such folder.")
    pictures = _predictions(predictions)
    truths = _by_stem(truth)
    _demand_partners(predictions, truth, set(pictures), set(truths))
    beside = masks or inputs
    known = _by_stem(beside) if beside else {}
    scores: dict[str, Score] = {}
    notes = [] if known else ["M and the score need --masks or --inputs; they are left out."]
    for stem in sorted(pictures):
        restored, original = pictures[stem].read(), image_io.read_rgb(truths[stem])
        if restored.shape != original.shape:
            sizes = [f"{a.shape[1]}x{a.shape[0]}" for a in (restored, original)]
            raise DataError(f"{pictures[stem].name} is {sizes[0]}, its truth {truths[stem]} {sizes[1]}.")
        mask = None
        if known:
            if stem not in known:
                raise DataError(f"{pictures[stem].name} has no partner in {beside}.")
            mask = image_io.read_mask(known[stem]) if masks else _mask_of(known[stem], original)
            if mask.shape != original.shape[:2]:
                raise DataError(f"{known[stem]} is not of the size of {truths[stem]}.")
        score = metrics.score(restored, original, mask)
        if mask is not None and score.M is None:
            lost = int(mask.sum())
            notes.append(f"{pictures[stem].name}: {lost} lost pixels, M needs seven; no M and no score.")
        scores[pictures[stem].name] = score
    return FileScore(mean=metrics.mean(list(scores.values())), images=scores, notes=tuple(notes))


def write_csv(path: Path, scores: Mapping[str, Score]) -> None:
    """Write a row an image: name, S, M, C, score; an empty cell where a figure can't be had."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", "S", "M", "C", "score"])
    for name, score in scores.items():
        writer.writerow([name, *("" if v is None else repr(v) for v in asdict(score).values())])
    files.write_text(path, text.getvalue())


@dataclass(frozen=True, kw_only=True)
class _Picture:
    """A prediction that is not read yet: a file, or an entry of a zip."""

    name: str
    file: Path
    inside: str = ""

    def read(self) -> np.ndarray:
        if not self.inside:
            return image_io.read_rgb(self.file)
        try:
            with zipfile.ZipFile(self.file) as archive:
                return image_io.to_rgb8(image_io.decode(archive.read(self.inside), self.inside))
        except (OSError, zipfile.BadZipFile, ValueError) as error:
            raise DataError(f"{self.inside} in {self.file} can't be read: {error}") from error


def _predictions(path: Path) -> dict[str, _Picture]:
    if path.is_dir():
        return {stem: _Picture(name=found.name, file=found) for stem, found in _by_stem(path).items()}
    if not path.exists():
        raise UsageError(f"PREDICTIONS {path}: there is no such folder or zip.")
    try:
        with zipfile.ZipFile(path) as archive:
            names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is neither a folder nor a zip that can be read: {error}") from error
    nested = next((name for name in names if "/" in name or "\\" in name), None)
    if nested is not None:
        raise DataError(f"{path} holds {nested} in a folder; a submission is flat.")
    if not names:
        raise DataError(f"{path} holds no images.")
    return {Path(name).stem: _Picture(name=name, file=path, inside=name) for name in names}


def _by_stem(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in image_io.find_images(folder):
        if path.stem in found:
            raise DataError(
                f"{folder} holds {found[path.stem].name} and {path.name}; names must differ before the dot."
            )
        found[path.stem] = path
    if not found:
        raise DataError(f"{folder} holds no images.")
    return found


def _demand_partners(predictions: Path, truth: Path, given: set[str], wanted: set[str]) -> None:
    for more, less, where in ((given, wanted, truth), (wanted, given, predictions)):
        alone = sorted(more - less)
        if alone:
            rest = f" (and {len(alone) - 1} more)" if len(alone) > 1 else ""
            raise DataError(f"{alone[0]}{rest} has no partner in {where}; names must be the same, endings apart.")


def _mask_of(path: Path, truth: np.ndarray) -> np.ndarray:
    gray = image_io.read_gray(path)
    mask = lost_region.pair_mask(gray, truth) if gray.shape == truth.shape[:2] else None
    return lost_region.find_lost_region(gray) if mask is None else mask
