"""Where weights are stored: a published name, a weight file, a run folder or a checkpoint, and the recipe of each."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from toolbox.errors import UsageError, WeightsError
from toolbox.hooks.catalog import Catalog
from toolbox.models import published, weight_file
from toolbox.models.weight_file import WeightsHeader
from toolbox.utils import files
from toolbox.utils.json_values import parse_json
from toolbox.utils.run_names import BEST, RECIPE

# The folder of checkpoints in a run folder, and a file of each, which `toolbox.training` writes.
CHECKPOINTS = "checkpoints"
MANIFEST = "manifest.json"


@dataclass(frozen=True, kw_only=True)
class StoredWeights:
    """The weights of one network, not read yet.

    Attributes:
        path: the safetensors file.
        prefix: what the names of its tensors begin with; a running average is stored as ``module.NAME``.
        recipe_path: the recipe of the run, for the file of a checkpoint; None: the header of `path` has it.
        published_name: the name of published weights; empty for others.
        named_recipe: the recipe that the spec of published weights names; empty for others.
    """

    path: Path
    prefix: str = ""
    recipe_path: Path | None = None
    published_name: str = ""
    named_recipe: str = ""

    def header(self) -> WeightsHeader:
        """Return the recipe of the weights, and their figures; raise WeightsError if they can't be read."""
        if self.named_recipe and not weight_file.has_header(self.path):
            raise WeightsError(
                f"The published weights '{self.published_name}' can't be used: they are for the recipe "
                f"'{self.named_recipe}', but the header of {files.printable(self.path)} has no recipe. Tell the author "
                "of the plugin that has these weights."
            )
        if self.published_name and not weight_file.has_header(self.path):
            raise WeightsError(
                f"The published weights '{self.published_name}' have no recipe: a detector, a filler or a "
                "post-processor loads them by itself. Leave them out, or choose weights that have a recipe in the list "
                "of `toolbox weights`."
            )
        if self.recipe_path is None:
            return weight_file.read_header(self.path)
        try:
            text = self.recipe_path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise WeightsError(
                f"{files.printable(self.path.parent)} is a checkpoint without the recipe of its run, "
                f"{files.printable(self.recipe_path)}. Put it back into its run folder."
            ) from error
        step = self.path.parent.name.removeprefix("step-").partition("-")[0]
        return WeightsHeader(
            recipe=text, recipe_name=self.recipe_path.parent.name, step=int(step) if step.isdecimal() else None
        )

    def load(self, network: nn.Module) -> None:
        """Load the weights into `network`; raise WeightsError if they can't be read or do not fit."""
        tensors = self.tensors()
        weight_file.require_fit(self.path, network, tensors)
        weight_file.load_saved_state(self.path, network, tensors)

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors, on the CPU; raise WeightsError if they can't be read."""
        tensors = weight_file.read_file(self.path)
        if not self.prefix:
            return tensors
        return {
            name.removeprefix(self.prefix): value for name, value in tensors.items() if name.startswith(self.prefix)
        }


def find_weights(weights: str | os.PathLike[str], catalog: Catalog, network: str = "generator") -> StoredWeights:
    """Return the weights that `weights` names: those of a path if it looks like one, else published ones.

    Args:
        weights: a published name, as ``NAME`` or ``weights:NAME``; a .safetensors file; a checkpoint; or a run folder,
            whose best weights are used, or its newest checkpoint for a discriminator.
        catalog: the installed components.
        network: "generator" or "discriminator".

    Raises:
        TypeError: `weights` is neither a name nor a path.
        UsageError: there is no such name, file or folder.
        WeightsError: published weights or the checkpoint are damaged.
    """
    if not isinstance(weights, str | os.PathLike):
        raise TypeError(f"weights are a name or a path, not a {type(weights).__name__}")
    weights = weights if isinstance(weights, str) else Path(weights)
    text = str(weights)
    if text.startswith("weights:") or not text:  # an empty path would be the working folder
        return _published(catalog, text.removeprefix("weights:"))
    path = Path(weights)
    looks_like_path = (
        isinstance(weights, Path) or path.suffix == ".safetensors" or len(path.parts) != 1 or weights == os.curdir
    )
    names = {entry.spec.name for entry in published.list_published(catalog)}
    if not looks_like_path and (weights in names or not os.path.exists(path)):
        return _published(catalog, text)
    try:
        os.stat(path)
    except PermissionError as error:
        raise UsageError(f"{files.printable(path)} can't be read: no permission.") from error
    except (OSError, ValueError):  # the message below says it
        pass
    if os.path.isfile(path / MANIFEST):
        return _in_checkpoint(path, network)
    if os.path.isdir(path):
        return _in_run(path, network)
    if not os.path.isfile(path):
        raise UsageError(f"There is no weight file {files.printable(path)}. For published weights: toolbox weights")
    return StoredWeights(path=path)


def _published(catalog: Catalog, name: str) -> StoredWeights:
    spec = published.verified_spec(catalog, name)
    return StoredWeights(path=spec.path, published_name=name, named_recipe=spec.recipe)


def _in_run(folder: Path, network: str) -> StoredWeights:
    best = folder / BEST
    if network == "generator" and best.is_file():
        return StoredWeights(path=best)
    checkpoints = sorted(path.parent for path in (folder / CHECKPOINTS).glob(f"step-*/{MANIFEST}"))
    if network == "generator":
        hint = f", or name a checkpoint: {files.printable(checkpoints[-1])}" if checkpoints else ""
        raise UsageError(f"{files.printable(folder)} has no {BEST}; a run writes it after its first validation{hint}.")
    if not checkpoints:
        raise UsageError(f"{files.printable(folder)} has no checkpoint, so it has no weights of a {network}.")
    return _in_checkpoint(checkpoints[-1], network)


def _in_checkpoint(folder: Path, network: str) -> StoredWeights:
    """Return a network of a checkpoint: of the generator, the running average if there is one."""
    average = folder / "average.safetensors"
    is_average = network == "generator" and average.is_file()
    path = average if is_average else folder / f"{network}.safetensors"
    try:
        digests = parse_json((folder / MANIFEST).read_text("utf-8"))["sha256"]
        expected = digests.get(path.name)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{files.printable(folder)}: its {MANIFEST} can't be read, so it can't be used.") from error
    if expected is None or not path.is_file():
        raise UsageError(f"The checkpoint {files.printable(folder)} has no {network}.")
    if files.sha256(path) != expected:
        raise WeightsError(f"{files.printable(path)} has changed since it was written. Use another checkpoint.")
    return StoredWeights(path=path, prefix="module." if is_average else "", recipe_path=folder.parent.parent / RECIPE)
