"""A run as event files of TensorBoard, in the folder `tensorboard` of the run folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from toolbox import RunStarted

FOLDER = "tensorboard"


class TensorBoardWriter:
    """Writes event files; see https://www.tensorflow.org/tensorboard."""

    def __init__(self, record: RunStarted) -> None:
        # Figures after the last checkpoint are written again: TensorBoard then ignores those of the earlier file.
        purge_step = record.step + 1 if record.step else None
        self.writer = SummaryWriter(str(record.folder / FOLDER), purge_step=purge_step, flush_secs=30)
        self.writer.add_text("recipe", _as_code(record.recipe), record.step)

    def scalars(self, step: int, figures: Mapping[str, float]) -> None:
        """Write figures by name."""
        for name, value in figures.items():
            self.writer.add_scalar(name, value, step)

    def picture(self, step: int, name: str, path: Path) -> None:
        """Write a picture file."""
        with Image.open(path) as image:
            self.writer.add_image(name, np.asarray(image.convert("RGB")), step, dataformats="HWC")

    def warn(self, step: int, cause: str, line: str) -> None:
        """Write a warning of the run."""
        self.writer.add_text(f"warning/{cause}", line, step)

    def close(self, status: str) -> None:
        """Write the remaining figures and close the file."""
        self.writer.close()


def _as_code(text: str) -> str:
    """Return text as a code block of Markdown, as TensorBoard shows it."""
    return "".join(f"    {line}\n" for line in text.splitlines())
