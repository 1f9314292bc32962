"""Remember what a network and a filler gave, for a photograph that is restored again with other colours.

Both depend on their inputs alone, so the results are the same to the bit. What is remembered is bounded.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
from torch import Tensor, nn

from toolbox.inference.fillers import LoadedFiller
from toolbox.models.component_calls import ATTRIBUTE, call_generator

# Of the outputs of a network. Colours are found at a small scale, so this holds several photographs.
MAX_NETWORK_BYTES = 16 << 20
# A filled photograph has its full size. Only the last one is of use.
MAX_FILLED = 1

Value = TypeVar("Value")
Outputs = tuple[Tensor, Mapping[str, Tensor]]


class _Recent(Generic[Value]):
    """The values that were used last, by a key; threads may share it."""

    def __init__(self, *, limit: int) -> None:
        """Keep values whose sizes sum to at most `limit`."""
        self._limit = limit
        self._values: OrderedDict[str, tuple[int, Value]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> Value | None:
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key][1]

    def put(self, key: str, value: Value, size: int) -> None:
        with self._lock:
            self._values[key] = (size, value)
            while self._values and sum(size for size, _ in self._values.values()) > self._limit:
                self._values.popitem(last=False)


class RememberingNetwork(nn.Module):
    """A generator that returns the same outputs for the same inputs without a second calculation."""

    def __init__(self, network: nn.Module, *, max_bytes: int = MAX_NETWORK_BYTES) -> None:
        """Wrap a generator in eval mode."""
        super().__init__()
        self.network = network
        self._recent: _Recent[Outputs] = _Recent(limit=max_bytes)
        # The component that errors are reported for is the wrapped one.
        if hasattr(network, ATTRIBUTE):
            self.__dict__[ATTRIBUTE] = getattr(network, ATTRIBUTE)
        self.train(network.training)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - what the network has, as `centres`
        """Return an attribute of the wrapped network."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("network"), name)

    def forward(self, image: Tensor, mask: Tensor) -> Outputs:
        """Return the pictures (B, 3, H, W) and the auxiliary outputs for `image` and `mask` (B, 1, H, W)."""
        key = _digest(image.cpu().numpy(), mask.cpu().numpy())
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
    """A filler that returns the photograph that it filled last without a second calculation."""

    _recent: _Recent[np.ndarray] = field(default_factory=lambda: _Recent(limit=MAX_FILLED), repr=False)

    def __call__(self, image: np.ndarray, mask: np.ndarray, *, seed: int = 0) -> np.ndarray:
        """Return the image with its lost region filled; see `LoadedFiller`."""
        key = f"{seed} {_digest(image, mask)}"
        filled = self._recent.get(key)
        if filled is None:
            filled = super().__call__(image, mask, seed=seed)
            self._recent.put(key, filled, 1)
        return filled.copy()


def remembering_filler(filler: LoadedFiller) -> LoadedFiller:
    """Return a filler that remembers what it filled last."""
    return RememberingFiller(fill=filler.fill, entry=filler.entry)


def _digest(*arrays: np.ndarray) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
