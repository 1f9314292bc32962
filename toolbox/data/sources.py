"""Open the data source of a recipe: data folders, or a plugin's source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from toolbox.config.plan import BoundComponent, Plan
from toolbox.data import folders
from toolbox.errors import DataError, ImageFileError, PluginError, named, one_line
from toolbox.hooks import blame
from toolbox.hooks.catalog import Entry
from toolbox.hooks.isolated_call import call_isolated
from toolbox.hooks.source_spec import Item, Source
from toolbox.utils import surface
from toolbox.utils.files import require_readable
from toolbox.utils.image_ref import ImageRef


def open_source(plan: Plan, location: Path | None) -> Source:
    """Return the photographs of a run. Nothing is decoded.

    Args:
        plan: its `source`; without one, `location` is a data folder.
        location: the path of ``--data``; None for the sample photographs, or for what the source itself names.

    Raises:
        UsageError, DataError: the location does not exist, or has nothing to train on.
        PluginError: the source fails or breaks its contract.
    """
    if plan.source is None:
        return folders.open_folder(location)
    source = build_source(plan.source, location)
    if len(source.items) < 2:
        raise DataError(
            f"The source '{plan.source.spec.name}' has {len(source.items)} photographs for training and validation. At "
            "least two are needed, one of them for validation."
        )
    return source


def reads_sample(plan: Plan) -> bool:
    """Return whether a run without ``--data`` reads the sample photographs; errors as those of `open_source`."""
    return plan.source is None or build_source(plan.source, None).kind == "sample"


def open_validation(plan: Plan) -> tuple[Item, ...]:
    """Return the photographs of `split.validation_data`, by the source of the plan; one is enough. None if it is empty.

    Raises:
        UsageError, DataError, PluginError: as `open_source`.
    """
    text = plan.settings.split.validation_data
    if not text:
        return ()
    location = Path(text)
    require_readable(location, "split.validation_data")
    return open_photos(plan, location)


def open_photos(plan: Plan, location: Path) -> tuple[Item, ...]:
    """Return photographs with their truths, by the source of the plan; one is enough.

    Raises:
        UsageError, DataError, PluginError: as `open_source`.
    """
    source = folders.open_folder(location, min_count=1) if plan.source is None else build_source(plan.source, location)
    return source.items


def sample_line(count: int) -> str:
    """Return what a new run on the `count` sample photographs says."""
    option = surface.option("data")
    given = surface.words(command="--data DIR", python="data=DIR")
    return (
        f"No {option}, so this run uses the package's {count} sample photographs. It takes a few minutes and shows "
        f"that everything works; the result is not a finished restorer. To train on your own photographs, add {given}."
    )


def build_source(bound: BoundComponent, location: Path | None) -> Source:
    """Build a plugin's source and check its contract; see `open_source` for the errors."""
    title = f"Source '{bound.spec.name}' of the plugin '{bound.entry.plugin}'"
    try:
        source = call_isolated(bound.entry, bound.spec.build, bound.params, location)
    except (ValueError, OSError) as error:
        raise DataError(f"{title}: {one_line(error)}") from error
    except Exception as error:  # a plugin may raise anything
        if blame.is_for_user(error, bound.entry):
            raise
        raised = f"{named(error)} ({blame.position(error, bound.entry)})"
        raise PluginError(f"{title} can't be built: {raised}") from error
    if not isinstance(source, Source):
        raise blame.wrong_result(bound.entry, bound.spec.build, f"returned {type(source).__name__} from build")
    source = replace(source, items=_as_tuple(source.items, bound), tests=_as_tuple(source.tests, bound))
    for item in (*source.items, *source.tests):
        if not item.images or not all(call_isolated(bound.entry, _is_image, image) for image in item.images):
            raise PluginError(f"{title}: {item.name} has no image, or one without name, read() and identity()")
    for items in (source.items, source.tests):
        names = Counter(item.name for item in items)
        if len(names) < len(items):
            raise DataError(
                f"{title}: {names.most_common(1)[0][0]} is the name of several photographs; names are unique"
            )
    without = next((item.name for item in source.items if item.truth is None), None)
    if without is not None:
        raise DataError(f"{title}: {without} has no truth to train on or to compare with.")
    items, tests = (tuple(_watched(item, bound.entry) for item in items) for items in (source.items, source.tests))
    _require_unique_identities(items, title)
    # A plugin that has read a data folder with `toolbox.open_folder` returns it with its path.
    plugin = bound.entry.plugin if source.folder is None else ""
    return replace(source, items=items, tests=tests, folder=location, plugin=plugin)


def _as_tuple(items: Iterable[Item], bound: BoundComponent) -> tuple[Item, ...]:
    """Return the photographs of a source, which may be a list or a generator."""
    try:
        return call_isolated(bound.entry, tuple, items)
    except TypeError as error:
        fault = f"returned a Source whose photographs are a {type(items).__name__}, not a tuple"
        raise blame.wrong_result(bound.entry, bound.spec.build, fault) from error


def _require_unique_identities(items: Sequence[Item], title: str) -> None:
    """Raise DataError if two truths have one identity: the cache would take one for the other."""
    names: dict[str, str] = {}
    for item in items:
        if isinstance(item.truth, WatchedImage):
            other = names.setdefault(item.truth.identity(), item.name)
            if other != item.name:
                raise DataError(
                    f"{title}: {other} and {item.name} have the same identity(); return a text that is different for "
                    "each photograph and changes with its bytes"
                )


@dataclass(frozen=True)
class WatchedImage:
    """An image of a plugin's source; its errors name the source.

    Attributes:
        image: the image.
        entry: the source's entry in the catalog.
    """

    image: ImageRef
    entry: Entry = field(compare=False, repr=False)

    @property
    def name(self) -> str:
        """Its name in messages."""
        return str(call_isolated(self.entry, getattr, self.image, "name"))

    def read(self) -> bytes:
        """Return the bytes of the image file; ImageFileError if that fails, PluginError for anything but bytes."""
        data = self._call("read")
        if not isinstance(data, bytes):
            fault = f"returned {type(data).__name__} from read() of {self.name}, not bytes"
            raise blame.wrong_result(self.entry, self.image.read, fault)
        return data

    def identity(self) -> str:
        """Return the text that changes with the bytes; errors as `read`."""
        text = self._call("identity")
        if not isinstance(text, str):
            fault = f"returned {type(text).__name__} from identity() of {self.name}, not a str"
            raise blame.wrong_result(self.entry, self.image.identity, fault)
        return text

    def _call(self, method: str) -> object:
        try:
            return call_isolated(self.entry, getattr(self.image, method))
        except Exception as error:  # a plugin may raise anything
            if blame.is_for_user(error, self.entry):
                raise
            raised = f"{named(error)} ({blame.position(error, self.entry)})"
            raise ImageFileError(f"{blame.title(self.entry)} can't read {self.name}: {raised}") from error


def _watched(item: Item, entry: Entry) -> Item:
    def watch(image: Path | ImageRef | None) -> Path | ImageRef | None:
        return image if image is None or isinstance(image, Path) else WatchedImage(image, entry)

    return replace(item, input=watch(item.input), truth=watch(item.truth))


def _is_image(image: Path | ImageRef) -> bool:
    return isinstance(image, Path) or (
        isinstance(getattr(image, "name", None), str)
        and callable(getattr(image, "read", None))
        and hasattr(image, "identity")
    )
