"""EfficientNet-Lite 0 to 4 as feature extractors, the encoders of the shipped weights, without importing timm.

`import timm` loads all of its models, torchvision and torch's compiler, which takes longer than restoring a photograph.
The tensors have the names of timm's ``tf_efficientnet_lite0`` to ``lite4`` and start from the same random
draws; a test compares both to the last bit. Reference: Tan and Le, "EfficientNet", ICML 2019. The Lite variants have
ReLU6 and no squeeze-and-excitation; their stem, and the depth of their first and last stage, are not scaled.
"""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F

# Factors of the channels and of the blocks of each stage, by timm's name.
SCALES = {
    "tf_efficientnet_lite0": (1.0, 1.0),
    "tf_efficientnet_lite1": (1.0, 1.1),
    "tf_efficientnet_lite2": (1.1, 1.2),
    "tf_efficientnet_lite3": (1.2, 1.4),
    "tf_efficientnet_lite4": (1.4, 1.8),
}
MEAN = STD = (0.5, 0.5, 0.5)
STEM_CHANNELS = 32
EXPANSION = 6
# Kernel size, stride, channels and number of blocks of each stage of Lite0.
STAGES = (
    (3, 1, 16, 1),
    (3, 2, 24, 2),
    (5, 2, 40, 2),
    (3, 2, 80, 3),
    (5, 1, 112, 3),
    (5, 2, 192, 4),
    (3, 1, 320, 1),
)
# The stages whose outputs are the feature maps, the last stage before each change of stride.
OUTPUT_STAGES = (0, 1, 2, 4, 6)
STRIDES = (2, 4, 8, 16, 32)


class SameConv2d(nn.Conv2d):
    """A convolution without bias, padded like TensorFlow's "SAME": an odd total puts the extra pixel at the end."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        """Make a convolution from `inputs` to `outputs` channels."""
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (B, inputs, H, W) to (B, outputs, ceil(H / stride), ceil(W / stride))."""
        if self.stride[0] > 1:
            across, down = (_total_padding(side, self.kernel_size[0], self.stride[0]) for side in x.shape[:-3:-1])
            x = F.pad(x, (across // 2, across - across // 2, down // 2, down - down // 2))
        return super().forward(x)


class SeparableBlock(nn.Module):
    """A depthwise convolution, then a pointwise one: the only block of the first stage."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        """Make a block of stride 1."""
        super().__init__()
        self.conv_dw = SameConv2d(inputs, inputs, kernel, groups=inputs)
        self.bn1 = _norm(inputs)
        self.conv_pw = SameConv2d(inputs, outputs, 1)
        self.bn2 = _norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H, W)."""
        return self.bn2(self.conv_pw(_relu6(self.bn1(self.conv_dw(x)))))


class InvertedResidual(nn.Module):
    """Expand the channels, convolve each alone, project them; with a shortcut where the shape stays."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        """Make a block from `inputs` to `outputs` channels."""
        super().__init__()
        hidden = EXPANSION * inputs
        self.has_shortcut = stride == 1 and inputs == outputs
        self.conv_pw = SameConv2d(inputs, hidden, 1)
        self.bn1 = _norm(hidden)
        self.conv_dw = SameConv2d(hidden, hidden, kernel, stride, groups=hidden)
        self.bn2 = _norm(hidden)
        self.conv_pwl = SameConv2d(hidden, outputs, 1)
        self.bn3 = _norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        y = _relu6(self.bn1(self.conv_pw(x)))
        y = _relu6(self.bn2(self.conv_dw(y)))
        y = self.bn3(self.conv_pwl(y))
        return y + x if self.has_shortcut else y


class EfficientNetLite(nn.Module):
    """The network without its classifier; it returns five feature maps of the strides 2 to 32."""

    def __init__(self, name: str, inputs: int = 3) -> None:
        """Make the network of `SCALES` for pictures of `inputs` channels, with random weights."""
        super().__init__()
        stages = scaled_stages(*SCALES[name])
        self.channels = tuple(stages[index][2] for index in OUTPUT_STAGES)
        self.conv_stem = SameConv2d(inputs, STEM_CHANNELS, 3, stride=2)
        self.bn1 = _norm(STEM_CHANNELS)
        # timm 1.0 makes and drops two such layers here. They are made too, so that a seed gives the same network.
        for _ in range(2):
            nn.Conv2d(8, 8, 1)
        self.blocks = nn.Sequential()
        channels = STEM_CHANNELS
        for kernel, stride, outputs, count in stages:
            stage = nn.Sequential()
            for index in range(count):
                if not self.blocks:
                    stage.append(SeparableBlock(channels, outputs, kernel))
                else:
                    stage.append(InvertedResidual(channels, outputs, kernel, stride if index == 0 else 1))
                channels = outputs
            self.blocks.append(stage)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
                nn.init.normal_(module.weight, 0, math.sqrt(2 / fan_out))

    def forward(self, picture: Tensor) -> list[Tensor]:
        """Return the maps of a normalised `picture` (B, inputs, H, W), each (B, c, H / stride, W / stride)."""
        x = _relu6(self.bn1(self.conv_stem(picture)))
        maps = []
        for index, stage in enumerate(self.blocks):
            x = stage(x)
            if index in OUTPUT_STAGES:
                maps.append(x)
        return maps


def scaled_stages(width: float, depth: float) -> list[tuple[int, int, int, int]]:
    """Return `STAGES` with channels times `width` and blocks times `depth`; the outer stages keep their depth."""
    last = len(STAGES) - 1
    return [
        (kernel, stride, _round_to_8(channels * width), count if index in (0, last) else math.ceil(count * depth))
        for index, (kernel, stride, channels, count) in enumerate(STAGES)
    ]


def _round_to_8(channels: float) -> int:
    """Round to a multiple of 8, but not down by more than a tenth."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


def _relu6(x: Tensor) -> Tensor:
    return F.relu6(x, inplace=True)


def _total_padding(side: int, kernel: int, stride: int) -> int:
    return max(kernel - (side % stride or stride), 0)
