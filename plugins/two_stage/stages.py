"""Two generators in a row: the first gives the gray, the second its colours."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from toolbox.color import luma


class TwoStage(nn.Module):
    """Restores the gray of a photograph, then colours it."""

    def __init__(self, gray: nn.Module, color: nn.Module, keep_known: bool) -> None:
        """Put generator `color` behind generator `gray`; `keep_known` keeps the gray outside the lost region."""
        super().__init__()
        self.gray = gray
        self.color = color
        self.keep_known = keep_known

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Restore `image` (B, 3, H, W) in [0, 1] with `mask` (B, 1, H, W), 1 where it is lost.

        H and W are what both generators take.

        Returns:
            The restored picture (B, 3, H, W) as the second generator gives it, and as "gray" what that was
            given, (B, 1, H, W) in [0, 1].
        """
        gray = luma(_restored(self.gray(image, mask)).to(image.dtype))
        if self.keep_known:
            known = luma(image)
            gray = known + mask * (gray - known)
        return _restored(self.color(gray.expand(-1, 3, -1, -1), mask)), {"gray": gray}


def _restored(outcome: Any) -> Tensor:  # noqa: ANN401 - a tensor, or a tensor and its auxiliary outputs
    return outcome[0] if isinstance(outcome, tuple) else outcome
