"""Remember the results of a network and of a filler, for a photograph that is restored again with other colours.

Both depend on their inputs alone, so the restored photographs are the same to the bit. The memory for results is
limited.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor, nn

from toolbox.inference.fillers import LoadedFiller
from toolbox.models.component_calls import call_generator
from toolbox.models.component_watch import share_watch
from toolbox.utils.reuse import Recent, digest, reusing

# Of the outputs of a network. Colours are found at a small scale, so this holds several photographs.
MAX_NETWORK_BYTES = 16 << 20
# A filled photograph has its full size. Only the last one is of use.
MAX_FILLED = 1
# Of the fills of single holes, for fillers that use `toolbox.reuse`. Holes of 12 megapixels of gray fit in.
MAX_HOLE_BYTES = 64 << 20

Outputs = tuple[Tensor, Mapping[str, Tensor]]


class RememberingNetwork(nn.Module):
    """A generator that computes its outputs once for equal inputs."""

    def __init__(self, network: nn.Module, *, max_bytes: int = MAX_NETWORK_BYTES) -> None:
        """Wrap a generator in eval mode."""
        super().__init__()
        self.network = network
        self._recent: Recent[Outputs] = Recent(limit=max_bytes)
        share_watch(self, network)
        self.train(network.training)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - what the network has, such as `centres`
        """Return an attribute of the wrapped network."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("network"), name)

    def forward(self, image: Tensor, mask: Tensor) -> Outputs:
        """Return the pictures (B, 3, H, W) and the auxiliary outputs for `image` and `mask` (B, 1, H, W)."""
        key = digest(image.cpu().numpy(), mask.cpu().numpy())
        outputs = self._recent.get(key)
        if outputs is None:
            restored, auxiliary = call_generator(self.network, image, mask)
            outputs = (restored, dict(auxiliary))
            size = sum(value.nbytes for value in (restored, *auxiliary.values()))
            self._recent.put(key, outputs, size)
        restored, auxiliary = outputs
        # The caller may write into what it gets.
        return restored.clone(), {name: value.clone() for name, value in auxiliary.items()}


@dataclass(frozen=True, kw_only=True)
class RememberingFiller(LoadedFiller):
    """A filler that returns the photograph that it filled last, and holes that did not change, without calculation."""

    _recent: Recent[np.ndarray] = field(default_factory=lambda: Recent(limit=MAX_FILLED), repr=False)
    _holes: Recent[np.ndarray] = field(default_factory=lambda: Recent(limit=MAX_HOLE_BYTES), repr=False)

    def __call__(self, image: np.ndarray, mask: np.ndarray, *, seed: int = 0) -> np.ndarray:
        """Return the image with its lost region filled; see `LoadedFiller`."""
        key = digest(seed, image, mask)
        filled = self._recent.get(key)
        if filled is None:
            with reusing(self._holes):
                filled = super().__call__(image, mask, seed=seed)
            self._recent.put(key, filled, 1)
        return filled.copy()


def remembering_filler(filler: LoadedFiller) -> LoadedFiller:
    """Return a filler that remembers what it filled last."""
    return RememberingFiller(fill=filler.fill, entry=filler.entry)
