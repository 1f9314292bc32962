"""Open the data source of a recipe: data folders, or a plugin's source."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from toolbox.config.plan import BoundComponent, Plan
from toolbox.data import folders
from toolbox.errors import DataError, PluginError, ToolboxError, named, one_line
from toolbox.hooks import blame
from toolbox.hooks.source_spec import Item, Source
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


def build_source(bound: BoundComponent, location: Path | None) -> Source:
    """Build a plugin's source and check its contract; see `open_source` for the errors."""
    title = f"Source '{bound.spec.name}' of the plugin '{bound.entry.plugin}'"
    try:
        source = bound.spec.build(bound.params, location)
    except ToolboxError:
        raise
    except (ValueError, OSError) as error:
        raise DataError(f"{title}: {one_line(error)}") from error
    except Exception as error:  # a plugin may raise anything
        raised = f"{named(error)} ({blame.position(error, bound.entry)})"
        raise PluginError(f"{title} can't be built: {raised}") from error
    if not isinstance(source, Source):
        raise blame.wrong_result(bound.entry, bound.spec.build, f"returned {type(source).__name__} from build")
    for item in (*source.items, *source.tests):
        if not item.images or not all(isinstance(image, Path) or _is_ref(image) for image in item.images):
            raise PluginError(f"{title}: {item.name} has no image, or one without name, read() and identity()")
    without = next((item.name for item in source.items if item.truth is None), None)
    if without is not None:
        raise DataError(f"{title}: {without} has no truth to train on or to compare with.")
    return replace(source, folder=location)


def _is_ref(image: ImageRef) -> bool:
    return (
        isinstance(getattr(image, "name", None), str)
        and callable(getattr(image, "read", None))
        and hasattr(image, "identity")
    )
