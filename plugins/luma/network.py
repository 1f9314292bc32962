"""The network: one encoder; a decoder for the colours at a quarter of the resolution, one for the lost luma."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from toolbox.backbones import Backbone, features
from toolbox.color import add_differences, color_differences, luma
from toolbox.smooth_fill import fill_tensor

from .classes import COUNT, centres
from .uncertainty import saturation_at, uncertainty

STRIDES = (2, 4, 8, 16, 32)


class Level(nn.Module):
    """A decoder level: upsample to the size of the skip, concatenate it, apply two convolutions."""

    def __init__(self, inputs: int, skip: int, outputs: int) -> None:
        """Make a level from `inputs` and `skip` channels to `outputs`."""
        super().__init__()
        self.convs = nn.Sequential(*conv(inputs + skip, outputs), *conv(outputs, outputs))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Return (B, outputs, H, W) for `x` (B, C, h, w) and `skip` (B, K, H, W)."""
        return self.convs(torch.cat([interpolate(x, skip.shape[-2:], mode="bilinear", align_corners=False), skip], 1))


class LumaUNet(nn.Module):
    """A U-Net over a pretrained encoder that does not change the luma outside the lost region.

    The encoder gets the gray picture, with the lost region filled smoothly from its borders. The first decoder, which
    also gets the mean features of the whole picture, predicts the probabilities of the colour classes for each block of
    4x4 pixels. The mean colour of the classes, weighted by probability, is the colour of the block. With `fills` the
    encoder also gets the mask, and a second, narrow decoder continues to the full resolution and predicts a correction
    of the luma inside the lost region. Colours that would leave [0, 1] lose saturation.

    Reference: classes of colour after Zhang et al., "Colorful Image Colorization", ECCV 2016.
    """

    mean: Tensor
    std: Tensor
    centres: Tensor
    saturation: Tensor

    def __init__(
        self, backbone: Backbone, *, width: int, frozen: bool, saturation: Sequence[float] = (1.0,), fills: bool = True
    ) -> None:
        """Make a network over `backbone`.

        Args:
            backbone: an encoder whose feature maps have the strides 2, 4, 8, 16 and 32.
            width: scales the number of channels of the decoders.
            frozen: keep the encoder as it was loaded, including its running statistics.
            saturation: factors of the predicted colours, from certain to uncertain pixels; see `saturation_at`.
            fills: predict the luma of the lost region; the encoder then takes four channels, else three.

        Raises:
            ValueError: the backbone has other strides.
        """
        super().__init__()
        require_strides(backbone)
        two, four, eight, sixteen, deep = backbone.channels
        self.encoder = backbone.network.requires_grad_(not frozen)
        self.frozen = frozen
        self.register_buffer("saturation", torch.tensor(saturation, dtype=torch.float32), persistent=False)
        self.register_buffer("mean", torch.tensor(backbone.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(backbone.std).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("centres", centres(), persistent=False)
        self.bottom = nn.Sequential(*conv(deep, 4 * width, side=1))
        self.whole = nn.Sequential(nn.Linear(4 * width, 4 * width), nn.ReLU(inplace=True))
        self.levels = nn.ModuleList(
            [
                Level(4 * width, sixteen, 4 * width),
                Level(4 * width, eight, 3 * width),
                Level(3 * width, four, 2 * width),
            ]
        )
        self.classes = nn.Conv2d(2 * width, COUNT, 1)
        self.fine: nn.ModuleList | None = None
        if fills:
            self.fine = nn.ModuleList([Level(2 * width, two, width), Level(width, 2, width // 2)])
            self.lost = nn.Conv2d(width // 2, 1, 3, padding=1)
            # At the start of training the correction is zero: the lost region is the smooth fill.
            for weight in self.lost.parameters():
                nn.init.zeros_(weight)

    def train(self, mode: bool = True) -> Self:
        """Set training or evaluation mode; a frozen encoder stays in evaluation mode."""
        super().train(mode)
        self.encoder.train(mode and not self.frozen)
        return self

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Restore `image` (B, 3, H, W) with `mask` (B, 1, H, W), H and W multiples of 32.

        Raises:
            ValueError: H or W is not a multiple of 32.

        Returns:
            RGB (B, 3, H, W) in [0, 1]; and ``classes``, the logits (B, COUNT, H / 4, W / 4).
        """
        height, width = image.shape[-2:]
        if height % STRIDES[-1] or width % STRIDES[-1]:
            raise ValueError(f"luma-unet needs sides that are multiples of {STRIDES[-1]}, not {height}x{width}")
        gray = luma(image)
        filled = fill_tensor(gray, mask)
        logits, x, half = self.decode(filled, mask)
        chroma = interpolate(self.colors(logits.float()), gray.shape[-2:], mode="bilinear", align_corners=False)
        if self.fine is not None:
            for level, skip in zip(self.fine, (half, torch.cat([filled - 0.5, mask], dim=1)), strict=True):
                x = level(x, skip)
            filled = filled + mask * self.lost(x)
        return to_rgb(filled, chroma.to(gray.dtype)), {"classes": logits}

    def colors(self, logits: Tensor) -> Tensor:
        """Return Cb and Cr, (B, 2, h, w), of logits (B, COUNT, h, w): the mean of the classes times the saturation."""
        mean = torch.einsum("bkhw,kc->bchw", logits.softmax(1), self.centres.to(logits))
        return mean * saturation_at(uncertainty(logits), self.saturation.to(logits))

    def calibrate(self, truth: Tensor, *, colorfulness: float) -> dict[str, list[float]]:
        """Fit the colours to photographs `truth` (N, 3, S, S) in [0, 1]; return the changed params.

        See `calibration.fit`. Temperature and slope change the weights of the classes; the saturation is a param.
        """
        from .calibration import fit

        # Neighbouring pixels are similar, so 8x8 of them give the same fit as all, in less time.
        step = max(1, truth.shape[-1] // 32)
        sparse = (..., slice(step // 2, None, step), slice(step // 2, None, step))
        with torch.no_grad():
            parts = luma(truth).split(16)
            logits = torch.cat([self.decode(part, torch.zeros_like(part))[0][sparse] for part in parts])
        quarter = avg_pool2d(truth, 4)[sparse]
        fitted = fit(logits, luma(quarter), quarter, colorfulness=colorfulness)
        with torch.no_grad():
            weight, bias = self.classes.parameters()
            weight.div_(fitted.temperature)
            bias.div_(fitted.temperature).add_(self.centres @ self.centres.new_tensor(fitted.slope))
            self.saturation = self.saturation.new_tensor(fitted.saturation)
        return {"saturation": [round(factor, 4) for factor in fitted.saturation]}

    def decode(self, filled: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Predict the colour classes of a gray picture without a lost region.

        Args:
            filled: luma (B, 1, H, W) in [0, 1].
            mask: (B, 1, H, W); 1 where the luma is a fill. Not used without `fills`.

        Returns:
            The logits (B, COUNT, H / 4, W / 4), the decoder's features of that size, the encoder's at H / 2, W / 2.
        """
        encoder_input = ((filled - self.mean) / self.std).expand(-1, 3, -1, -1)
        if self.fine is not None:
            encoder_input = torch.cat([encoder_input, mask], dim=1)
        two, four, eight, sixteen, deep = features(self.encoder, encoder_input)
        x = self.bottom(deep)
        x = x + self.whole(x.mean((2, 3)))[:, :, None, None]
        for level, skip in zip(self.levels, (sixteen, eight, four), strict=True):
            x = level(x, skip)
        return self.classes(x), x, two


def require_strides(backbone: Backbone) -> None:
    """Raise ValueError if the strides of the backbone's feature maps are not those that the decoders need."""
    if backbone.strides != STRIDES:
        raise ValueError(f"the backbone has strides {list(backbone.strides)}, but luma-unet needs {list(STRIDES)}")


def conv(inputs: int, outputs: int, side: int = 3) -> list[nn.Module]:
    """Return the layers convolution, BatchNorm and ReLU; height and width stay the same."""
    layer = nn.Conv2d(inputs, outputs, side, padding=side // 2, bias=False)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return [layer, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


def to_rgb(y: Tensor, chroma: Tensor) -> Tensor:
    """Return RGB (B, 3, H, W) in [0, 1] of the luma `y` (B, 1, H, W) and of Cb and Cr (B, 2, H, W), by BT.601.

    A colour outside [0, 1] is moved towards the gray of the same luma until it is inside.
    """
    differences = torch.cat(color_differences(*chroma.split(1, dim=1)), dim=1)
    return add_differences(y, differences).clamp(0, 1)
