"""Load a network from a file with spandrel, and wrap it as a generator."""

from __future__ import annotations

from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.nn.functional import pad

if TYPE_CHECKING:
    from spandrel import ModelDescriptor

INSTALL = "pip install 'toolbox-restore[spandrel]'"
SUFFIX = ".safetensors"
# Files with pickled Python objects. Opening one can run any code.
PICKLE_SUFFIXES = (".pth", ".pt", ".ckpt", ".bin", ".pkl")


def load(file: str) -> ModelDescriptor:
    """Load the network of a safetensors file, with its weights, on the CPU.

    Raises:
        ValueError: spandrel is not installed; the file is not a safetensors file or spandrel does not support its
            network; or the network does not map a colour picture to one of the same size. One line with the remedy.
    """
    path = Path(file)
    suffix = path.suffix.lower()
    if suffix in PICKLE_SUFFIXES:
        raise ValueError(
            f"{path} is a pickle, and opening a pickle can run any code. Convert it in a sandbox: "
            f"safetensors.torch.save_file(torch.load('{path.name}', weights_only=True), '{path.stem}{SUFFIX}') "
            "(the state dict may be under a key such as 'params_ema')"
        )
    if suffix != SUFFIX:
        raise ValueError(f"{path} is not a {SUFFIX} file")
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    descriptor = _open(path)
    _check_shapes(descriptor, path)
    return descriptor


def _open(path: Path) -> ModelDescriptor:
    try:
        from spandrel import ModelLoader, UnsupportedModelError
    except ImportError as error:
        raise ValueError(f"the library spandrel can't be imported ({error}). To install it: {INSTALL}") from error
    try:
        return ModelLoader("cpu").load_from_file(path)
    except UnsupportedModelError as error:
        raise ValueError(f"spandrel does not support the network in {path}") from error
    except Exception as error:  # spandrel's architectures raise errors of many types
        reason = shorten(str(error), 300, placeholder="…")
        raise ValueError(f"{path} can't be loaded as a network: {reason}") from error


def _check_shapes(descriptor: ModelDescriptor, path: Path) -> None:
    """Raise ValueError if the network changes the size of a picture, or does not map 3 channels to 3."""
    name, inputs, outputs = descriptor.architecture.name, descriptor.input_channels, descriptor.output_channels
    if descriptor.scale != 1:
        raise ValueError(f"{path}: {name} enlarges {descriptor.scale} times, but a restored picture keeps its size")
    if (inputs, outputs) != (3, 3):
        raise ValueError(f"{path}: {name} has {inputs} input and {outputs} output channels, but both must be 3")


class SpandrelGenerator(nn.Module):
    """A network built by spandrel. It is called without spandrel's inference mode, so it can be trained."""

    def __init__(self, descriptor: ModelDescriptor) -> None:
        """Take the network, its call function and its size requirements from spandrel's descriptor."""
        super().__init__()
        self.network = descriptor.model
        self.uses_mask = descriptor.purpose == "Inpainting"
        self.requirements = descriptor.size_requirements
        # The call function adapts an architecture's inputs and outputs. spandrel's public call is only for inference.
        self.call: Any = descriptor._call_fn

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Restore `image` (B, 3, H, W), of any H and W, to the same shape, clamped to [0, 1].

        Only inpainting networks get `mask` (B, 1, H, W), which is 1 where the picture is lost.
        """
        height, width = image.shape[-2:]
        right, below = self.requirements.get_padding(width, height)
        inputs = [image, mask] if self.uses_mask else [image]
        padded = [pad(values, (0, right, 0, below), mode="replicate") for values in inputs]
        return self.call(self.network, *padded)[..., :height, :width].clamp(0, 1)
