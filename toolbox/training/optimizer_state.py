"""Save and restore the state of a network's optimizer without pickle; bring its schedule to the same position."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from toolbox.distributed import collectives
from toolbox.distributed.torch_patches import step_schedule
from toolbox.errors import UsageError, WeightsError, one_line
from toolbox.hooks import blame
from toolbox.hooks.isolated_call import call_isolated
from toolbox.models.optimizers import load_optimizer, split_optimizer
from toolbox.training.optim import NetworkState

# Early checkpoints don't name the optimizer. They have Adam or AdamW, with the option "betas", or SGD, with "momentum".
STATE_OPTIONS = {"betas", "momentum"}
# Optimizers whose states are of the same kind.
SAME_STATE = ({"Adam", "AdamW"},)


def split_state(trained: NetworkState) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the state of a network's optimizer: tensors, named INDEX.KEY, and JSON values.

    The state of the schedule is not saved: `load_optimizer_state` steps a new one to its position.
    """
    tensors, optimizer = call_isolated(trained.watch.entry, split_optimizer, trained.optimizer)
    try:
        json.dumps(optimizer, allow_nan=False)
    except (TypeError, ValueError) as error:
        fault = f"has state that can't be saved: {one_line(error)}; keep numbers, texts and tensors in it"
        raise blame.wrong_result(trained.watch.entry, trained.optimizer, fault) from error
    values = {"name": type(trained.optimizer).__name__, **optimizer}
    return tensors, {"optimizer": values, "weights": trained.weight_counts()}


def load_optimizer_state(
    trained: NetworkState,
    tensors: Mapping[str, Tensor],
    rest: Mapping[str, Any],
    ended: Mapping[str, int],
    *,
    network: str = "generator",
) -> None:
    """Load the optimizer's state that `split_state` returned, and step the schedule to its position.

    Options don't change. The schedule is stepped one by one, as in a run: a rate that is computed directly differs in
    its last bits, and a schedule of several, such as torch's SequentialLR, can't compute one.

    Args:
        trained: the network with its new optimizer and its new schedule, which has not been stepped.
        tensors: the tensors that `split_state` returned.
        rest: the JSON values that `split_state` returned.
        ended: the numbers of epochs and of steps before the checkpoint, by "epoch" and "step".
        network: the name of the network in the recipe.

    Raises:
        UsageError: the state belongs to another kind of optimizer, or the schedule is too short.
        WeightsError: it belongs to other weights, or to other groups of weights.
    """
    if not _is_same_kind(trained.optimizer, rest["optimizer"]):
        name = type(trained.optimizer).__name__
        error = UsageError(
            f"The optimizer state in the checkpoint doesn't match this optimizer ({name}). Set "
            f"{network}.optimizer.name back, or start a new run."
        )
        raise collectives.same_error_on_every_rank(error)
    if not _has_same_weights(trained, rest):
        fault = WeightsError(
            f"The checkpoint's optimizer state of the {network} is of other weights, or of other groups of weights: it "
            "belongs to another recipe."
        )
        raise collectives.same_error_on_every_rank(fault)
    call_isolated(trained.watch.entry, load_optimizer, trained.optimizer, tensors, rest["optimizer"])
    count = ended[trained.cadence]
    try:
        call_isolated(trained.schedule_watch.entry, step_schedule, trained.schedule, count)
    except ValueError as cause:
        reason = one_line(cause)
        error = UsageError(f"The schedule can't be continued after {count} {trained.cadence}s: {reason}")
        raise collectives.same_error_on_every_rank(error) from cause


def _is_same_kind(optimizer: Optimizer, saved: Mapping[str, Any]) -> bool:
    """Return whether a saved state is of the optimizer's kind."""
    name = type(optimizer).__name__
    if "name" in saved:
        return saved["name"] == name or any({saved["name"], name} <= kinds for kinds in SAME_STATE)
    groups = optimizer.param_groups
    return [set(group) & STATE_OPTIONS for group in saved["groups"]] == [set(group) & STATE_OPTIONS for group in groups]


def _has_same_weights(trained: NetworkState, saved: Mapping[str, Any]) -> bool:
    """Return whether a saved state is of the same weights in the same groups; early checkpoints name no losses."""

    def sizes(groups: Iterable[Mapping[str, Any]]) -> list[int]:
        return [len(group["params"]) for group in groups]

    counts = trained.weight_counts()
    same_groups = sizes(saved["optimizer"]["groups"]) == sizes(trained.optimizer.param_groups)
    return same_groups and saved.get("weights", counts) == counts
