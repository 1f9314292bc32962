"""The mean of several weight files of one generator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from toolbox.errors import UsageError
from toolbox.hooks.catalog import Catalog
from toolbox.models import weight_file
from toolbox.models.weights import TrainedGenerator, load_trained
from toolbox.utils import files

# Keys of the recipe's generator table that don't change the network.
TRAINING_KEYS = ("init", "optimizer", "schedule", "clip_norm")


def average_weights(weights: Sequence[str | Path], target: Path, catalog: Catalog) -> None:
    """Write the mean of the weights to `target`. Source: Wortsman et al., "Model soups", ICML 2022.

    The mean of runs that started from the same weights is often better than each of them. The mean of runs with
    different initial weights is useless. Measure it before you use it.

    Args:
        weights: two or more; see `load_trained`. The recipe is that of the first.
        target: the safetensors file.
        catalog: the components.

    Raises:
        UsageError: there are fewer than two, or they are of different networks.
        OutputError: `target` can't be written.
    """
    if len(weights) < 2:
        raise UsageError("An average needs at least two weight files; give more.")
    trained = [load_trained(name, torch.device("cpu"), catalog) for name in weights]
    resolved = [entry.path.resolve() for entry in trained]
    if len({*resolved}) < len(resolved):
        raise UsageError(f"{max(resolved, key=resolved.count)} is there twice; name each of the weights once.")
    first = trained[0]
    for other in trained[1:]:
        if _network(other) != _network(first):
            paths = f"{files.printable(other.path)} and {files.printable(first.path)}"
            raise UsageError(f"{paths} are weights of different networks; average only weights of one network.")
    header = replace(first.shared_header(catalog), step=None, score={}, loss=None)
    weight_file.write_weights(target, _mean([weight_file.saved_state(entry.network) for entry in trained]), header)


def _network(trained: TrainedGenerator) -> dict[str, Any]:
    table = trained.plan.tree(include_initial=False)["generator"]
    return {key: value for key, value in table.items() if key not in TRAINING_KEYS}


def _mean(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of each tensor; integers, such as the step counter of BatchNorm, are those of the first."""
    return {
        name: torch.stack([state[name].double() for state in states]).mean(0).to(value)
        if value.is_floating_point()
        else value
        for name, value in states[0].items()
    }
