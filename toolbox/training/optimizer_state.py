"""Save and restore the state of a network's optimizer and learning rate schedule, without pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from toolbox.distributed import collectives
from toolbox.distributed.torch_patches import replay_schedule
from toolbox.errors import UsageError, one_line
from toolbox.hooks import blame
from toolbox.hooks.isolated_call import call_isolated
from toolbox.models.optimizers import load_optimizer, split_optimizer
from toolbox.training.optim import NetworkState

# Early checkpoints don't name the optimizer. They have Adam or AdamW, with the option "betas", or SGD, with "momentum".
STATE_OPTIONS = {"betas", "momentum"}
# Optimizers whose states are of the same kind.
SAME_STATE = ({"Adam", "AdamW"},)


def split_state(trained: NetworkState) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the state of a network's optimizer and schedule: tensors, named INDEX.KEY, and JSON values."""
    tensors, optimizer = call_isolated(trained.watch.entry, split_optimizer, trained.optimizer)
    try:
        json.dumps(optimizer, allow_nan=False)
    except (TypeError, ValueError) as error:
        fault = f"has state that can't be saved: {one_line(error)}; keep numbers, texts and tensors in it"
        raise blame.wrong_result(trained.watch.entry, trained.optimizer, fault) from error
    return tensors, {
        "optimizer": {"name": type(trained.optimizer).__name__, **optimizer},
        "schedule": call_isolated(trained.schedule_watch.entry, trained.schedule.state_dict),
        "cadence": trained.cadence,
    }


def load_optimizer_state(
    trained: NetworkState,
    tensors: Mapping[str, Tensor],
    rest: Mapping[str, Any],
    ended: Mapping[str, int] | None = None,
    *,
    network: str = "generator",
) -> None:
    """Load what `split_state` returned: the optimizer's state and the position of the schedule. Options don't change.

    Args:
        trained: the network with its new optimizer and schedule.
        tensors: the tensors that `split_state` returned.
        rest: the JSON values that `split_state` returned.
        ended: the numbers of epochs and of steps before the checkpoint, by "epoch" and "step". With None, the counts of
            the saved schedule are used, whose cadence must be that of `trained`.
        network: the name of the network in the recipe.

    Raises:
        UsageError: the state belongs to another kind of optimizer, or the schedule is too short.
    """
    if not _is_same_kind(trained.optimizer, rest["optimizer"]):
        name = type(trained.optimizer).__name__
        error = UsageError(
            f"The optimizer state in the checkpoint doesn't match this optimizer ({name}). Set "
            f"{network}.optimizer.name back, or start a new run."
        )
        raise collectives.same_error_on_every_rank(error)
    call_isolated(trained.watch.entry, load_optimizer, trained.optimizer, tensors, rest["optimizer"])
    count, calls = rest["schedule"]["last_epoch"], rest["schedule"]["_step_count"]
    # A step that was not finite is counted by the schedule, but not by the run.
    if ended is not None and "step" in (trained.cadence, rest.get("cadence")):
        count, calls = ended[trained.cadence], ended[trained.cadence] + 1
    try:
        call_isolated(trained.schedule_watch.entry, replay_schedule, trained.schedule, count, calls)
    except ValueError as fault:
        reason = one_line(fault)
        error = UsageError(f"The schedule can't be continued after {count} {trained.cadence}s: {reason}")
        raise collectives.same_error_on_every_rank(error) from fault


def _is_same_kind(optimizer: Optimizer, saved: Mapping[str, Any]) -> bool:
    """Return whether a saved state is of the optimizer's kind."""
    name = type(optimizer).__name__
    if "name" in saved:
        return saved["name"] == name or any({saved["name"], name} <= kinds for kinds in SAME_STATE)
    groups = optimizer.param_groups
    return [set(group) & STATE_OPTIONS for group in saved["groups"]] == [set(group) & STATE_OPTIONS for group in groups]
