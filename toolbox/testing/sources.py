"""The checks of a data source."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from toolbox.config.plan import BoundComponent
from toolbox.data.sources import build_source
from toolbox.errors import InstallationError
from toolbox.hooks.source_spec import Source, SourceSpec
from toolbox.imaging import io
from toolbox.testing.checks import Check, require, run_checks
from toolbox.testing.subject import Subject
from toolbox.utils.image_ref import ImageRef


@dataclass(frozen=True, kw_only=True)
class SourceCase:
    """A source under test, and an empty folder for its example."""

    bound: BoundComponent
    example: Callable[[Path], Path]
    folder: Path

    @cached_property
    def location(self) -> Path:
        """The location of the example, which is written once."""
        try:
            return self.example(self.folder)
        except ImportError as error:
            raise InstallationError(str(error)) from error

    def open(self) -> Source:
        """Open the source anew."""
        return build_source(self.bound, self.location)


def check_source(subject: Subject) -> list[Check]:
    """Run every check of a source on its example; a note if it has none."""
    bound, spec = subject.bound, subject.spec
    assert isinstance(spec, SourceSpec)
    if spec.example is None:
        detail = "its spec has no example, so that nothing can be opened here; add example = (…) there"
        return [Check(name="opening", status="noted", detail=detail)]
    with tempfile.TemporaryDirectory() as folder:
        case = SourceCase(bound=bound, example=spec.example, folder=Path(folder))
        checks = run_checks(case, [check_opening])
        if checks[0].status != "ok":
            return checks
        return [*checks, *run_checks(case, [check_images, check_identity, check_reading_in_threads])]


def check_opening(case: SourceCase) -> str:
    """Its photographs have unique names, are sorted by name, and are the same when it is opened again."""
    source, again = case.open(), case.open()
    require(len(source.items) >= 2, f"the example has {len(source.items)} photographs; write at least two")
    for items in (source.items, source.tests):
        names = [item.name for item in items]
        require(len(set(names)) == len(names), "two photographs have the same name; a result has the name of its photo")
        require(names == sorted(names), "the photographs are not sorted by name, so a split could not be repeated")
    require([item.name for item in source.items] == [item.name for item in again.items], "it opens in another order")
    return f"{source.kind}: {len(source.items)} photographs, {len(source.tests)} to restore"


def check_images(case: SourceCase) -> str:
    """Every image can be decoded, and a pair has one size."""
    source = case.open()
    for item in (*source.items, *source.tests):
        sizes = {io.read_rgb(image).shape[:2] for image in item.images}
        require(len(sizes) == 1, f"the input and the truth of {item.name} have different sizes")
    return f"{sum(1 for _ in _images(source))} images decoded"


def check_identity(case: SourceCase) -> str:
    """An image keeps its identity when the source is opened again, and no two images share one."""
    references = [image for image in _images(case.open()) if not isinstance(image, Path)]
    if not references:
        return "files on a disk, which are identified by their content"
    identities = [reference.identity() for reference in references]
    require(all(isinstance(text, str) and text for text in identities), "identity() must return a text")
    require(
        len(set(identities)) == len(identities),
        "two images have the same identity; the cache would take one for the other",
    )
    again = [image.identity() for image in _images(case.open()) if not isinstance(image, Path)]
    require(identities == again, "an image has another identity when the source is opened again; nothing is cached")
    return f"{len(identities)} identities"


def check_reading_in_threads(case: SourceCase) -> str:
    """Four threads read the same bytes as one."""
    references = [image for image in _images(case.open()) if not isinstance(image, Path)]
    if not references:
        return "files on a disk"
    expected = [reference.read() for reference in references]
    require(all(isinstance(data, bytes) for data in expected), "read() must return bytes")
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda reference: reference.read(), references * 4))
    require(results == expected * 4, "read() gives other bytes when several threads call it")
    return f"{len(results)} reads"


def _images(source: Source) -> Iterator[Path | ImageRef]:
    for item in (*source.items, *source.tests):
        yield from item.images
