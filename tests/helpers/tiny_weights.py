"""Weights of a tiny U-Net in a run folder, without training."""

from __future__ import annotations

import torch
from catalogs import default_catalog

from toolbox.config import recipe
from toolbox.config.binding import bind
from toolbox.models import weight_file
from toolbox.models.build import build_generator
from toolbox.models.weight_file import WeightsHeader
from toolbox.utils.run_names import BEST

TINY = ("generator.width=4", "generator.levels=2", "restoring.tile=256")


def tiny_plan(*overrides):
    """Return the plan of the recipe `default` with a tiny generator."""
    read = recipe.read("default", lambda name: default_catalog().recipe(name).path, [*TINY, *overrides])
    return bind(read, default_catalog())


def write_tiny_run(folder, *overrides):
    """Write ``best.safetensors`` of a tiny generator with random weights to a folder; return the folder."""
    folder.mkdir(parents=True)
    torch.manual_seed(1)
    plan = tiny_plan(*overrides)
    network = build_generator(plan, torch.device("cpu"))
    header = WeightsHeader(recipe=recipe.dump(plan.tree()), recipe_name=plan.name, step=1)
    weight_file.write_weights(folder / BEST, network.state_dict(), header)
    return folder
