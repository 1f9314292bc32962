"""Hints for unknown options: `--lr` is `--set generator.optimizer.lr=VALUE`, and `--gpu` is `--device`."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

import click
from pydantic import BaseModel

# Settings of components, and names that other programs use, with the settings of recipes that they correspond to.
KEYS = {
    "lr": "generator.optimizer.lr",
    "learning_rate": "generator.optimizer.lr",
    "weight_decay": "generator.optimizer.weight_decay",
    "wd": "generator.optimizer.weight_decay",
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
    "losses": "losses.NAME.weight",
    "batch_size": "training.batch",
    "num_workers": "data.workers",
    "amp": "training.precision",
    "ema": "training.average",
    "early_stopping": "validation.patience",
}
# Names of options that other programs use, with those of toolbox.
OPTIONS = {"gpu": "--device", "cuda": "--device", "model": "--weights", "checkpoint": "--weights"}


def with_hint(error: click.NoSuchOption) -> click.UsageError:
    """Return the error of an unknown option with a hint: the option, or the recipe's setting, that was probably meant.

    A setting is named only by commands that take --set. Of click's suggestions, those stay whose names, without the
    dashes, are similar.
    """
    options = [] if error.ctx is None else [option for param in error.ctx.command.params for option in param.opts]
    name = error.option_name.lstrip("-").replace("-", "_")
    key = KEYS.get(name) or next((key for key in _keys() if key.rpartition(".")[2] == name), None)
    if key is None or "--set" not in options:
        bare = {option.lstrip("-"): option for option in error.possibilities or ()}
        similar = [bare[match] for match in get_close_matches(error.option_name.lstrip("-"), bare)]
        meant = [OPTIONS[name]] if OPTIONS.get(name) in options else similar
        hint = f" Did you mean {' or '.join(map(repr, meant))}?" if meant else ""
        return click.UsageError(f"No such option '{error.option_name}'.{hint}", error.ctx)
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
