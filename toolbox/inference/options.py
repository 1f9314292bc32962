"""How photographs are restored, and the outcome for each: records that are made without torch."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from toolbox.errors import DataError
from toolbox.imaging import io
from toolbox.inference.output_paths import Job
from toolbox.masks.sources import MaskOptions
from toolbox.prints.corrections import Corrections
from toolbox.utils import files

if TYPE_CHECKING:
    from toolbox.imaging.sepia import Toning
    from toolbox.inference.reference_index import ReferenceIndex

Keep = Literal["luma", "rgb", "none"]
Status = Literal["restored", "copied", "there already", "left as it is", "preview", "failed"]


@dataclass(frozen=True, kw_only=True)
class RestoreOptions:
    """How each photograph is restored.

    Attributes:
        mask_options: how its lost region is marked.
        keep: what of it is not changed; "auto": the luma of a gray or toned one, all known pixels of a colour one.
        keep_tone: whether a toned photograph, such as a sepia print, gets its own tone instead of colours.
        corrections: how a print is corrected first; they change known pixels.
        auto: the names of the corrections that each photograph's diagnosis decides; None: none, and a colour photograph
            that needs nothing is not copied.
        before_after: whether a before-and-after picture is written too.
        references: the files of photographs that may show the same scene.
        reference_index: chooses from many references; None: all of them are compared with each photograph.
        hints: the file with strokes of colour for the photograph, or None.
        palette: the file of a photograph of another scene, or None; similar parts get its colours. A photograph
            that keeps its colours does not use it.
        provenance: whether a picture of where each pixel comes from is written.
        variants: how many plausible colourings are written too, 2 to 8; 0: none.
        source_type: whether the metadata of the result says what its pixels come from.
        preview: whether only a picture of the lost region is written.
        overwrite: whether existing results are replaced.
        max_pixels: a larger photograph is refused.
    """

    mask_options: MaskOptions = field(default_factory=MaskOptions)
    keep: Literal["auto", "luma", "rgb", "none"] = "auto"
    keep_tone: bool = False
    corrections: Corrections = field(default_factory=Corrections)
    auto: frozenset[str] | None = None
    before_after: bool = False
    references: tuple[Path, ...] = ()
    reference_index: ReferenceIndex | None = None
    hints: Path | None = None
    palette: Path | None = None
    provenance: bool = False
    variants: int = 0
    source_type: bool = False
    preview: bool = False
    overwrite: bool = False
    max_pixels: int = io.MAX_PIXELS

    @property
    def may_crop(self) -> bool:
        """Whether a print may be cut out of the photograph."""
        return self.auto is not None or self.corrections.crop == "print"


@dataclass(frozen=True, kw_only=True)
class PhotoResult:
    """The outcome for one photograph, as it is in the report.

    Attributes:
        photo: the path of the photograph.
        result: the path of its result.
        status: "restored"; "copied": it needs nothing, with `auto`; "there already": the result exists; "left as it
            is": there is nothing to do; "preview": only the picture of its lost region was written; "failed".
        reason: why it failed or was left.
        kind: "gray", "toned" or "colour"; empty if it was not measured.
        lost: the fraction of its pixels that was lost.
        notes: what else was changed.
        origins: the fraction of its pixels from each source, such as "colour from reference"; empty if nothing was
            restored.
        references: the fraction of its pixels from each reference.
        seconds: the time that it took.
    """

    photo: str
    result: str
    status: Status
    reason: str = ""
    kind: str = ""
    lost: float = 0.0
    notes: tuple[str, ...] = ()
    origins: Mapping[str, float] = field(default_factory=dict)
    references: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0


def choose_keep(options: RestoreOptions, toning: Toning) -> Keep:
    """Return what of a photograph is not changed."""
    if options.keep != "auto":
        return options.keep
    return "rgb" if toning.kind == "colour" else "luma"


def photo_result(job: Job, **facts: object) -> PhotoResult:
    """Return the result of a job; `facts` are the other attributes of `PhotoResult`, or another path."""
    paths = {"photo": files.printable(job.photo), "result": files.printable(job.target)}
    return PhotoResult(**{**paths, **facts})  # type: ignore[arg-type]


def is_complete(path: Path) -> bool:
    """Return whether a picture exists and can be read; a full disk or a failed copy may leave an empty or cut file."""
    try:
        io.read_size(path, max_pixels=sys.maxsize)
    except DataError:
        return False
    return True


def lacks_pictures(job: Job, options: RestoreOptions) -> bool:
    """Return whether a picture that needs a restoration is asked for beside the result, and is not complete."""
    paths = [job.provenance] if options.provenance else []
    if options.variants:
        paths += [job.variant_sheet, *(job.variant(number) for number in range(1, options.variants + 1))]
    return not all(is_complete(path) for path in paths)


def is_finished(job: Job, options: RestoreOptions) -> bool:
    """Return whether the files that a photograph asks for exist and can be read."""
    return (
        not options.overwrite
        and not options.preview
        and is_complete(job.target)
        and (is_complete(job.comparison) or not options.before_after)
        and not lacks_pictures(job, options)
    )
