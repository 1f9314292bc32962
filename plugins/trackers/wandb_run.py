"""A run in Weights & Biases. Offline, its files are in the folder `wandb` of the run folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from toolbox import RunStarted

from .tracker import known_id, remember_id, settings_of


class WandbWriter:
    """Writes with the library wandb; see https://docs.wandb.ai."""

    def __init__(self, record: RunStarted, project: str, entity: str, mode: str) -> None:
        if mode == "offline":
            os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # wandb would send reports of its own crashes
        excepthook = sys.excepthook
        import wandb

        self.wandb = wandb
        self.run = wandb.init(
            project=project,
            entity=entity or None,
            dir=str(record.folder),
            mode="offline" if mode == "offline" else "online",
            name=record.folder.name,
            id=known_id(record, "wandb"),
            resume="allow" if record.step else None,
            config=settings_of(record),
            # It must not take over the terminal, nor collect the repository of the working folder.
            settings=wandb.Settings(console="off", silent=True, disable_git=True, save_code=False),
        )
        sys.excepthook = excepthook  # wandb has replaced it
        remember_id(record, "wandb", self.run.id)
        Path(self.run.dir, "recipe.toml").write_text(record.recipe, "utf-8")

    def scalars(self, step: int, figures: Mapping[str, float]) -> None:
        """Write figures by name."""
        self.run.log(dict(figures), step=step)

    def picture(self, step: int, name: str, path: Path) -> None:
        """Write a picture file."""
        self.run.log({name: self.wandb.Image(str(path))}, step=step)

    def warn(self, step: int, cause: str, line: str) -> None:
        """Write a warning of the run."""
        self.run.alert(title=cause, text=line)

    def close(self, status: str) -> None:
        """Write the remaining figures and close the run."""
        self.run.finish(exit_code=1 if status == "failed" else 0)
