"""A file to a network by spandrel, and that network as a generator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.nn.functional import pad

if TYPE_CHECKING:
    from spandrel import ModelDescriptor

INSTALL = "pip install 'toolbox-restore[spandrel]'"
SUFFIX = ".safetensors"
# What holds pickled Python, which runs whatever its maker wrote when it is opened.
PICKLED = (".pth", ".pt", ".ckpt", ".bin", ".pkl")


def load(file: str) -> ModelDescriptor:
    """Return the network that a safetensors file holds, with its weights, on the CPU.

    Raises:
        ValueError: spandrel is not installed, the file is no safetensors file or none that spandrel knows, or
            its network does not take a colour picture to one of the same size; one line with what to do.
    """
    path = Path(file)
    suffix = path.suffix.lower()
    if suffix in PICKLED:
        raise ValueError(
            f"{path} is a pickle, which can run code when it is opened; on a machine that you can spare convert it: "
            f"safetensors.torch.save_file(torch.load('{path.name}', weights_only=True), '{path.stem}{SUFFIX}') "
            "(its state dict may lie under a key such as 'params_ema')"
        )
    if suffix != SUFFIX:
        raise ValueError(f"{path} is not a {SUFFIX} file")
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    return _fitting(_opened(path), path)


def _opened(path: Path) -> ModelDescriptor:
    try:
        from spandrel import ModelLoader, UnsupportedModelError
    except ImportError as error:
        raise ValueError(f"it needs the library spandrel ({error}): {INSTALL}") from error
    try:
        return ModelLoader("cpu").load_from_file(path)
    except UnsupportedModelError as error:
        raise ValueError(f"{path} holds no network that spandrel knows") from error
    except Exception as error:  # the architectures trust the file and raise what they like
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{path} can't be read as a network: {reason}") from error


def _fitting(found: ModelDescriptor, path: Path) -> ModelDescriptor:
    name, taken, given = found.architecture.name, found.input_channels, found.output_channels
    if found.scale != 1:
        raise ValueError(f"{path}: {name} enlarges {found.scale} times; a restored picture keeps its size")
    if (taken, given) != (3, 3):
        raise ValueError(f"{path}: {name} takes {taken} channels and gives {given}; a colour picture has 3 and 3")
    return found


class SpandrelGenerator(nn.Module):
    """A network that spandrel built, called without spandrel's inference mode, so that it can be trained on."""

    def __init__(self, found: ModelDescriptor) -> None:
        """Take over the network of a descriptor, how it is called, and which sizes it takes."""
        super().__init__()
        self.network = found.model
        self.masked = found.purpose == "Inpainting"
        self.requirements = found.size_requirements
        # How an architecture is called (a second output dropped, a noise level added) is in no public place.
        self.call: Any = found._call_fn

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Restore `image` (B, 3, H, W), any H and W, into the same shape, clamped to [0, 1].

        `mask` (B, 1, H, W), 1 where it is lost, is given to a network for inpainting and to no other.
        """
        height, width = image.shape[-2:]
        right, below = self.requirements.get_padding(width, height)
        inputs = [image, mask] if self.masked else [image]
        padded = [pad(values, (0, right, 0, below), mode="replicate") for values in inputs]
        return self.call(self.network, *padded)[..., :height, :width].clamp(0, 1)
