"""A run in trackio. Its database is where trackio keeps all projects; `trackio show` opens it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import trackio

from toolbox import RunStarted

from .tracker import settings_of


class TrackioWriter:
    """Writes with the library trackio; see https://huggingface.co/docs/trackio."""

    def __init__(self, record: RunStarted, project: str, space: str) -> None:
        self.run = trackio.init(
            project=project,
            name=record.folder.name,
            space_id=space or None,
            config=settings_of(record),
            resume="allow" if record.step else "never",
            embed=False,
            # The figures of the machine are not those of the run, and take time.
            auto_log_cpu=False,
            auto_log_gpu=False,
        )
        self.run.log({"recipe": trackio.Markdown(f"```toml\n{record.recipe}\n```")}, step=record.step)

    def scalars(self, step: int, figures: Mapping[str, float]) -> None:
        """Write figures by name."""
        self.run.log(dict(figures), step=step)

    def picture(self, step: int, name: str, path: Path) -> None:
        """Write a picture file."""
        self.run.log({name: trackio.Image(str(path))}, step=step)

    def warn(self, step: int, cause: str, line: str) -> None:
        """Write a warning of the run."""
        self.run.alert(title=cause, text=line)

    def close(self, status: str) -> None:
        """Write the remaining figures and close the run."""
        self.run.finish()
