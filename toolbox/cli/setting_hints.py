"""A hint for an option that is a setting of the recipe: `--lr` is `--set generator.optimizer.lr=VALUE`."""

from __future__ import annotations

from collections.abc import Iterator

import click
from pydantic import BaseModel

# Settings of components, and names that other programs use, with the settings of recipes that they correspond to.
KEYS = {
    "lr": "generator.optimizer.lr",
    "learning_rate": "generator.optimizer.lr",
    "weight_decay": "generator.optimizer.weight_decay",
    "optimizer": "generator.optimizer.name",
    "schedule": "generator.schedule.name",
    "scheduler": "generator.schedule.name",
    "init": "generator.init",
    "pretrained": "generator.init",
    "width": "generator.width",
    "generator": "generator.name",
    "model": "generator.name",
    "discriminator": "discriminator.name",
    "loss": "losses.NAME.weight",
    "batch_size": "training.batch",
    "num_workers": "data.workers",
    "amp": "training.precision",
    "ema": "training.average",
    "early_stopping": "validation.patience",
}


def with_setting_hint(error: click.NoSuchOption) -> click.UsageError:
    """Return the error of an unknown option; with the recipe's setting if the command takes --set and there is one."""
    command = None if error.ctx is None else error.ctx.command
    if command is None or not any("--set" in param.opts for param in command.params):
        return error
    name = error.option_name.lstrip("-").replace("-", "_")
    key = KEYS.get(name) or next((key for key in _keys() if key.rpartition(".")[2] == name), None)
    if key is None:
        return error
    message = f"No such option: {error.option_name}. It is a setting of the recipe: --set {key}=VALUE"
    return click.UsageError(message, error.ctx)


def _keys() -> Iterator[str]:
    """Yield the dotted keys of all settings that hold no component."""
    from toolbox.config.settings import Settings

    for table, field in Settings.model_fields.items():
        model = field.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            yield from (f"{table}.{key}" for key in model.model_fields)
        else:
            yield table
