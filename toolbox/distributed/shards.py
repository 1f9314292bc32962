"""Whether weights are sharded over the processes, without the import of what shards them, which takes a second."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from torch import Tensor, nn


def has_shards(tensors: Iterable[Tensor]) -> bool:
    """Return whether a tensor is sharded over the processes."""
    module = sys.modules.get("torch.distributed.tensor")  # who shards has imported it
    return module is not None and any(isinstance(tensor, module.DTensor) for tensor in tensors)


def is_sharded(network: nn.Module) -> bool:
    """Return whether the weights of a network are sharded over the processes."""
    return has_shards(network.parameters())
