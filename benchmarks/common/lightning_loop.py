"""A plain training loop with Lightning: pairs that are read from PNG files, a loss, and a fit with default options."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from pathlib import Path

import cv2
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader, Dataset

from toolbox.color import luma
from toolbox.data.loader import Samples

Pictures = tuple[Tensor, Tensor, Tensor]


class Pairs(Dataset):
    """The samples of `keys`, in that order, written to PNG files and read from there, as a plain script does."""

    def __init__(self, folder: Path, samples: Samples, keys: list[list[tuple[int, int]]]) -> None:
        self.folder, self.count = folder, 0
        folder.mkdir()
        for batch in keys:
            for image, mask, truth in zip(*samples.load(batch)[:3], strict=True):
                for name, values in (("image", image[:1]), ("mask", mask.to(torch.uint8) * 255), ("truth", truth)):
                    pixels = values.permute(1, 2, 0).numpy()[..., ::-1]
                    cv2.imwrite(str(folder / f"{self.count}-{name}.png"), pixels)
                self.count += 1

    def __len__(self) -> int:
        """Return the number of pairs."""
        return self.count

    def __getitem__(self, index: int) -> Pictures:
        """Return the damaged picture, its mask and the truth, (C, H, W) in [0, 1]."""
        image, truth = (
            cv2.cvtColor(cv2.imread(str(self.folder / f"{index}-{name}.png")), cv2.COLOR_BGR2RGB)
            for name in ("image", "truth")
        )
        mask = cv2.imread(str(self.folder / f"{index}-mask.png"), cv2.IMREAD_GRAYSCALE)[..., None]
        image, mask, truth = (torch.from_numpy(array).permute(2, 0, 1).float() / 255 for array in (image, mask, truth))
        return image, mask, truth


def loss(network: nn.Module, image: Tensor, mask: Tensor, truth: Tensor) -> Tensor:
    """Return the loss: MSE of the colours plus MSE of the gray."""
    restored, outputs = network(image, mask)
    return mse_loss(restored, truth) + mse_loss(outputs["gray"], luma(truth))


def fit_with_lightning(
    network: nn.Module, loader: DataLoader, steps: int, device: torch.device, after_step: Callable[..., None]
) -> None:
    """Train with Lightning's default options; call `after_step` with the loss of each step."""
    import lightning

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def training_step(self, batch: Pictures, index: int) -> Tensor:
            return loss(self.network, *batch)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters(), lr=1e-4, weight_decay=0.01)

        def on_train_batch_end(self, outputs: dict[str, Tensor], batch: Pictures, index: int) -> None:
            after_step(outputs["loss"])

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning recommends more workers and a logger
        trainer = lightning.Trainer(
            max_steps=steps,
            accelerator="gpu" if device.type == "cuda" else "cpu",
            devices=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(Module(), loader)
