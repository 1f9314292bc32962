"""Score weights: restore photographs whose truth is known, and measure the results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from math import inf
from pathlib import Path

from toolbox.config.plan import Plan
from toolbox.data import loader, split_record
from toolbox.data.folders import Item
from toolbox.data.sources import open_photos
from toolbox.errors import DataError, UsageError
from toolbox.evaluation.extra_figures import build_extra_figures
from toolbox.evaluation.figures import ExtraFigures, Figures, measure, summarize
from toolbox.evaluation.score_files import FileScores
from toolbox.hooks import catalog as catalogs
from toolbox.hooks.catalog import Catalog
from toolbox.hooks.protocols import Sample
from toolbox.imaging import io
from toolbox.inference.loading import load_restorer
from toolbox.inference.restorer import Restorer
from toolbox.models.samples import build_degradations
from toolbox.models.stored_weights import StoredWeights, find_weights
from toolbox.models.weights import read_plan
from toolbox.utils import files, surface
from toolbox.utils.arguments import is_whole

Progress = Callable[[int], AbstractContextManager[Callable[[], None]]]

# A size is at most this many times the short side of the largest photograph.
MAX_ENLARGEMENT = 4
PARTS = {"train": "training", "validation": "validation"}


@dataclass(frozen=True, kw_only=True)
class ScoreOptions:
    """How weights are scored.

    Attributes:
        fill: the filler, or "network"; None: as the recipe of the weights says.
        seed: of the damage of photographs that are not damaged yet; None: the recipe's seed.
        size: score the middle square, scaled to this side in pixels, as validation does; None: photographs as they are.
        device: "cpu", "cuda", "cuda:1", "mps"; None: the best available.
        lpips: the file with the weights of LPIPS; None: it is not measured.
        held_out: leave out the photographs that the run of the weights was trained on.

    Raises:
        UsageError: a value of a wrong type or range.
    """

    fill: str | None = None
    seed: int | None = None
    size: int | None = None
    device: str | None = None
    lpips: Path | None = None
    held_out: bool = False

    def __post_init__(self) -> None:
        for name, least in (("seed", 0), ("size", 16)):
            value = getattr(self, name)
            if value is not None and not is_whole(value, least, inf):
                raise UsageError(f"{name} is {value!r}; it must be a whole number of at least {least}.")
        if not isinstance(self.held_out, bool):
            raise UsageError(f"held_out is {self.held_out!r}; it must be True or False.")


def score_weights(
    weights: str | Path,
    data: Path,
    options: ScoreOptions,
    catalog: Catalog | None = None,
    progress: Progress = lambda total: nullcontext(lambda: None),
) -> FileScores:
    """Restore the photographs of a folder with weights, and return their figures.

    Args:
        weights: a run folder, a checkpoint, a weight file, or a published name.
        data: a data folder as `toolbox run --data` takes it. Photographs without an input are damaged by the recipe.
        options: how they are scored.
        catalog: the installed components; None: load them.
        progress: called with the number of photographs; returns a context whose value is called after each.

    Raises:
        UsageError, WeightsError, PluginError: as `load_restorer`.
        DataError: the folder has no photographs with a truth, or one can't be read.
        UsageError: the size is far above that of the photographs.
    """
    catalog = catalog or catalogs.load()
    stored = find_weights(weights, catalog)
    plan = read_plan(stored, catalog)
    extra = build_extra_figures(catalog, options.lpips, plan.metrics)
    restorer = load_restorer(weights, device=options.device, fill=options.fill, catalog=catalog)
    items = open_photos(plan, data)
    if options.size is not None:
        _check_size(items, options.size)
    seen = find_seen(stored, items)
    notes = [_seen_note(weights, items, seen, options.held_out)]
    if options.held_out:
        items = _held_out(weights, data, items, seen)
    images: dict[str, Figures] = {}
    with progress(len(items)) as advance:
        for item, sample in zip(items, _samples(items, plan, options), strict=True):
            images[_unused(item.name, images)] = _measure(restorer, sample, extra)
            advance()
    if all(figures["M"] is None for figures in images.values()):
        cause = "" if build_degradations(plan, "damage") else ": the recipe of these weights simulates no damage"
        notes.append(f"No M and no score, because nothing of these photographs is lost{cause}.")
    notes += extra.all_notes()
    return FileScores(
        figures=summarize(images),
        notes=tuple(line for line in notes if line),
        seen={item.name: PARTS[part] for item in items if (part := (seen or {}).get(item.name))},
    )


def find_seen(stored: StoredWeights, items: tuple[Item, ...]) -> dict[str, str] | None:
    """Return which photographs the run of the weights has used: "train" or "validation", by name; None: unknown.

    The run folder records the content of each photograph. A photograph is found by the bytes of its truth, whatever its
    name; a copy that was scaled or saved again is not.
    """
    folder = (stored.recipe_path or stored.path).parent
    record = split_record.read_record(folder / split_record.FILE)
    if record is None:
        return None
    parts = record.seen()
    # Training first: a photograph in both parts was trained on.
    known = {_truth_digest(identity): part for part in reversed(PARTS) for identity in parts[part] if identity}
    identities = split_record.photo_identities(items)
    uses = {item.name: known.get(_truth_digest(identity)) for item, identity in identities.items()}
    return {name: part for name, part in uses.items() if part is not None}


def _check_size(items: tuple[Item, ...], size: int) -> None:
    """Raise UsageError if every photograph would be enlarged too much: that takes long and says nothing."""
    largest = max((min(io.read_size(item.truth)) for item in items if item.truth is not None), default=size)
    if size > MAX_ENLARGEMENT * largest:
        raise UsageError(
            f"A size of {size} pixels is more than {MAX_ENLARGEMENT} times that of the photographs, whose short side "
            f"has at most {largest}; choose a smaller one, or leave it out to score them as they are."
        )


def _samples(items: tuple[Item, ...], plan: Plan, options: ScoreOptions) -> Iterator[Sample]:
    recipe = loader.SampleRecipe(
        size=options.size or plan.settings.data.size,
        seed=plan.settings.seed if options.seed is None else options.seed,
        damage=build_degradations(plan, "damage"),
        augment=(),
    )
    for index, item in enumerate(items):
        if options.size is None:
            yield loader.load_whole_photo(item, recipe, index)
        else:
            yield loader.load_sample(item, recipe, loader.Stream.VALIDATION, 0, index)


def _measure(restorer: Restorer, sample: Sample, extra: ExtraFigures) -> Figures:
    return measure(restorer(sample.image, sample.mask), sample.truth, sample.mask, extra)


def _held_out(
    weights: str | Path, data: Path, items: tuple[Item, ...], seen: Mapping[str, str] | None
) -> tuple[Item, ...]:
    if seen is None:
        option, name = surface.option("held-out"), files.printable(weights)
        raise UsageError(f"{option} needs the run of {name}: its folder has {split_record.FILE}.")
    left = tuple(item for item in items if seen.get(item.name) != "train")
    if not left:
        raise DataError(f"{files.printable(data)} has only photographs that the run was trained on.")
    return left


def _seen_note(weights: str | Path, items: tuple[Item, ...], seen: Mapping[str, str] | None, held_out: bool) -> str:
    """Return a line on the photographs that the run has used; empty if it has used none."""
    if seen is None:
        return (
            f"{files.printable(weights)} has no record of its training photographs ({split_record.FILE} of a run), so "
            "it is not known whether some of these are among them."
        )
    parts = []
    for part, reason in (
        (
            "train",
            "were trained on, so "
            + ("they are left out" if held_out else "their figures say nothing about other photographs"),
        ),
        ("validation", "chose the best weights, so their figures are somewhat too good"),
    ):
        names = [name for name in seen if seen[name] == part]
        if names:
            parts.append(f"{len(names)} of {len(items)} photographs ({files.listed(names)}) {reason}")
    return f"{'; '.join(parts)}." if parts else ""


def _truth_digest(identity: str) -> str:
    """Return the digest of the truth in the identity of a photograph; the input comes first."""
    return identity.rpartition(":")[2]


def _unused(name: str, names: Mapping[str, Figures]) -> str:
    return name if name not in names else f"{name} ({len(names)})"
