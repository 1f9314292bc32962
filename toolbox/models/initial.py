"""The weights that networks of a new run start from: `init` in a recipe.

Tensors that fit are loaded; others are reported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from toolbox.config import recipe
from toolbox.config.plan import Plan
from toolbox.errors import Fault, RecipeError, ToolboxError, UsageError, WeightsError
from toolbox.hooks.catalog import Catalog
from toolbox.models import weight_file
from toolbox.models.build import build_component
from toolbox.models.stored_weights import StoredWeights, find_weights
from toolbox.utils import files

SETTINGS_SHOWN = 4  # of the settings that differ, in a line


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Which tensors of stored weights fit a network.

    Attributes:
        tensors: those that fit.
        missing: the names of the network's tensors that the file does not have.
        reshaped: the names of those that have another shape there.
        extra: the number of tensors of the file that the network does not have.
    """

    tensors: Mapping[str, Tensor]
    missing: tuple[str, ...]
    reshaped: tuple[str, ...]
    extra: int

    @property
    def is_complete(self) -> bool:
        """Whether every tensor of the network gets its value from the file."""
        return not self.missing and not self.reshaped


def find_initial(plan: Plan, catalog: Catalog) -> dict[str, StoredWeights]:
    """Return the weights that the networks of `plan` start from, by the network; those without `init` are left out.

    Raises:
        UsageError, WeightsError: as `find_weights`.
    """
    return {name: find_weights(init, catalog, name) for name, init in plan.initial.items()}


def fit_weights(stored: StoredWeights, network: nn.Module) -> Fit:
    """Return what of stored weights fits `network`, by names and shapes.

    Raises:
        WeightsError: the file can't be read, or has a value that is not finite.
    """
    tensors, state = stored.tensors(), network.state_dict()
    invalid = weight_file.not_finite({name: value for name, value in tensors.items() if name in state}, network)
    if invalid:
        raise WeightsError(f"{files.printable(stored.path)}: {invalid[0]} is not finite. Use other weights.")
    fitting = {
        name: value
        for name, value in tensors.items()
        if name in state
        and value.shape == state[name].shape
        and value.is_floating_point() == state[name].is_floating_point()
    }
    return Fit(
        tensors=fitting,
        missing=tuple(name for name in state if name not in tensors),
        reshaped=tuple(name for name in state if name in tensors and name not in fitting),
        extra=len(tensors.keys() - state.keys()),
    )


def describe_fit(name: str, init: str, stored: StoredWeights, fit: Fit, plan: Plan) -> str:
    """Return one line on what fits and what does not, such as "width is 16 here and 8 there".

    Args:
        name: the network, "generator" or "discriminator".
        init: what the recipe says.
        stored: the weights.
        fit: what of them fits.
        plan: the plan of the new run.

    Raises:
        WeightsError: nothing fits.
    """
    total = len(fit.tensors) + len(fit.missing) + len(fit.reshaped)
    start = f"The {name} starts from {files.printable(init)}: "
    if fit.is_complete:
        return f"{start}all {total} tensors fit."
    differences = setting_differences(_table(stored, name), plan.tree().get(name, {}))
    if not differences:
        reasons = [f"{len(fit.missing)} are missing there, such as {fit.missing[0]}"] if fit.missing else []
        reasons += [f"{len(fit.reshaped)} have another shape, such as {fit.reshaped[0]}"] if fit.reshaped else []
        differences = [*reasons, *([f"{fit.extra} of the file are not used"] if fit.extra else [])]
    words = "; ".join(differences[:SETTINGS_SHOWN])
    more = f"; and {len(differences) - SETTINGS_SHOWN} more" if len(differences) > SETTINGS_SHOWN else ""
    if not fit.tensors:
        raise WeightsError(f"Nothing of {files.printable(init)} fits the {name}: {words}{more}.")
    return (
        f"{start}{len(fit.tensors)} of {total} tensors fit, the others keep their random initial values: {words}{more}."
    )


def setting_differences(there: Mapping[str, Any], here: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return the settings of two networks' tables that differ, in words; those that do not change the network left out.

    Args:
        there: the table of the recipe of the weights.
        here: the table of the new recipe.
        prefix: the dotted key of both tables.
    """
    ignored = ("init", "optimizer", "schedule", "clip_norm", "enabled")
    if there and there.get("name") != here.get("name"):  # their other settings can't be compared
        return [f"{prefix}name is {_words(here.get('name'))} here and {_words(there.get('name'))} there"]
    differences = []
    for key in [key for key in {**here, **there} if key not in ignored]:
        old, new = there.get(key), here.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            differences += setting_differences(old, new, f"{prefix}{key}.")
        elif old != new:
            differences.append(f"{prefix}{key} is {_words(new)} here and {_words(old)} there")
    return differences


def check_initial(plan: Plan, catalog: Catalog) -> list[str]:
    """Return a line for each network that starts from stored weights; its network is built for that.

    Raises:
        RecipeError: weights that do not exist, can't be read, or of which nothing fits.
    """
    lines, faults = [], []
    for name, init in plan.initial.items():
        try:
            stored = find_weights(init, catalog, name)
            network = build_component(plan.components[name][0], fresh=False)
            lines.append(describe_fit(name, init, stored, fit_weights(stored, network), plan))
        except (UsageError, WeightsError) as error:
            faults.append(Fault(location=f"{name}.init", message=str(error)))
    if faults:
        raise RecipeError(plan.name, faults)
    return lines


def _table(stored: StoredWeights, name: str) -> Mapping[str, Any]:
    """Return the network's table in the recipe of the weights; an empty one if it is not known."""
    try:
        table = recipe.parse(stored.header().recipe, "").get(name, {})
    except ToolboxError:
        return {}
    return table if isinstance(table, dict) else {}


def _words(value: object) -> str:
    return "not set" if value is None else str(value)
