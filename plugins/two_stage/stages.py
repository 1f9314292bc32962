"""Two generators in sequence: the first restores the gray, the second adds the colours."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from toolbox.color import luma


class TwoStage(nn.Module):
    """A generator that restores the gray of a photograph and then adds the colours."""

    def __init__(self, gray: nn.Module, color: nn.Module, keep_known: bool) -> None:
        """Apply generator `gray`, then generator `color`; `keep_known` keeps the gray outside the lost region."""
        super().__init__()
        self.gray = gray
        self.color = color
        self.keep_known = keep_known

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Restore `image` (B, 3, H, W) in [0, 1] with `mask` (B, 1, H, W), which is 1 where the picture is lost.

        H and W must suit both generators.

        Returns:
            The output of the second generator, (B, 3, H, W); and as "gray" its input, (B, 1, H, W) in [0, 1].
        """
        gray = luma(_restored_picture(self.gray(image, mask)).to(image.dtype))
        if self.keep_known:
            known = luma(image)
            gray = known + mask * (gray - known)
        return _restored_picture(self.color(gray.expand(-1, 3, -1, -1), mask)), {"gray": gray}


def _restored_picture(output: Any) -> Tensor:  # noqa: ANN401 - a tensor, or a tensor and its auxiliary outputs
    """Return the picture of a generator's output."""
    return output[0] if isinstance(output, tuple) else output
