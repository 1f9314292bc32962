"""The checks of published weights: the file is the published one, and it loads into the network of its recipe."""

from __future__ import annotations

import torch

from toolbox.errors import InstallationError, ToolboxError, WeightsError
from toolbox.hooks.catalog import Catalog, Entry
from toolbox.models.published import find_weight_damage, published_spec
from toolbox.models.weight_file import has_header
from toolbox.models.weights import load_trained
from toolbox.testing.checks import Check


def check_weights(entry: Entry, catalog: Catalog) -> list[Check]:
    """Return the outcomes for published weights; with a wrong sha256 nothing else is checked.

    Weights that a component loads itself need no recipe; if they have one, they must fit it.
    """
    spec = published_spec(entry)
    damage = find_weight_damage(entry)
    checks = [Check(name="sha256", status="failed" if damage else "ok", detail=damage or "the file is unchanged")]
    if damage:
        return checks
    if spec.recipe:
        return [*checks, _check_fit(entry, catalog), *_check_recipe_name(spec.recipe, catalog)]
    try:
        return [*checks, _check_fit(entry, catalog)] if has_header(spec.path) else checks
    except WeightsError as error:
        return [*checks, Check(name="fit", status="failed", detail=str(error))]


def _check_fit(entry: Entry, catalog: Catalog) -> Check:
    try:
        trained = load_trained(published_spec(entry).path, torch.device("cpu"), catalog)
    except InstallationError as error:
        return Check(name="fit", status="noted", detail=f"can't be checked here: {error}")
    except ToolboxError as error:
        return Check(name="fit", status="failed", detail=str(error))
    return Check(name="fit", status="ok", detail=f"loads into generator '{trained.plan.generator.spec.name}'")


def _check_recipe_name(name: str, catalog: Catalog) -> list[Check]:
    if name in catalog.names("recipe"):
        return [Check(name="recipe", status="ok", detail=f"the recipe '{name}' is installed")]
    detail = f"the spec names the recipe '{name}', which no plugin here has; name one that `toolbox list recipes` shows"
    return [Check(name="recipe", status="noted", detail=detail)]
