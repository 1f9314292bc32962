"""Data sources: where the photographs of a run come from, and the spec of a source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from toolbox.hooks.specs import ComponentSpec
from toolbox.utils.files import printable
from toolbox.utils.image_ref import ImageRef as ImageRef


@dataclass(frozen=True, kw_only=True)
class Item:
    """One photograph: a damaged input with its truth, or only one of the two.

    Attributes:
        name: the file name without folders. The result gets the same name, as PNG.
        input: the damaged picture; None if it is to be made from the truth.
        truth: the undamaged colour photograph; None if it is unknown.
    """

    name: str
    input: Path | ImageRef | None = None
    truth: Path | ImageRef | None = None

    @property
    def images(self) -> tuple[Path | ImageRef, ...]:
        """The pictures that it has, the input first."""
        return tuple(image for image in (self.input, self.truth) if image is not None)


@dataclass(frozen=True, kw_only=True)
class Source:
    """The photographs of a run.

    Attributes:
        kind: a word for its layout in messages, such as "pairs" (damaged inputs with their truths) or "photos" (colour
            photographs to be damaged). "sample" means the sample photographs, as `toolbox.open_folder(None)` returns
            them; the table `sample` of a recipe is for these.
        items: the photographs for training and validation, sorted by name; each has a truth.
        tests: the photographs to restore at the end of the run, sorted by name.
        folder: the path of ``--data``, for messages; the program sets it.
        plugin: the plugin that it is from, for messages; empty for a data folder. The program sets it.
    """

    kind: str
    items: tuple[Item, ...]
    tests: tuple[Item, ...] = ()
    folder: Path | None = None
    plugin: str = ""

    @property
    def title(self) -> str:
        """Its name in messages."""
        return f"The source of plugin '{self.plugin}'" if self.plugin else printable(str(self.folder))


@dataclass(frozen=True, kw_only=True)
class SourceSpec(ComponentSpec):
    """A data source.

    Attributes:
        build: called as ``build(params, location)`` with the path of ``--data``, or None without it. Returns a
            `toolbox.Source`; nothing is decoded. Raises `toolbox.errors.DataError` or ``ValueError`` with one line.
        example: called with an empty folder, a `pathlib.Path`; writes a small data set there and returns the location
            for `build`. The conformance kit uses it; without it only the spec is checked.
    """

    kind = "source"
    example: Callable[[Path], Path] | None = None
