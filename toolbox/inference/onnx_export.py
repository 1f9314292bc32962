"""Export weights as an ONNX file that restores photographs without toolbox and torch."""

from __future__ import annotations

import json
import tempfile
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from toolbox.errors import InstallationError, PluginError, one_line
from toolbox.hooks import blame
from toolbox.hooks.catalog import Catalog
from toolbox.hooks.plugin_output import native_stdout_discarded
from toolbox.inference.loading import make_restorer
from toolbox.inference.onnx_graph import make_graph
from toolbox.inference.restorer import Restorer
from toolbox.models.published import list_published, published_spec
from toolbox.models.weights import TrainedGenerator, load_trained
from toolbox.utils import files
from toolbox.utils.json_values import finite_json
from toolbox.utils.memory import is_out_of_memory
from toolbox.utils.versions import DISTRIBUTION, toolbox_version

if TYPE_CHECKING:
    import onnx

OPSET = 18
INPUTS, OUTPUTS = ("image", "mask"), ("restored", "network")
# Height and width of the photograph with which the graph is traced, and of those with which it is checked.
TRACED = (80, 104)
CHECKED = ((61, 90), (230, 301))
# The share of the pixels of a checked photograph that may differ by more than one of 255 levels.
MAX_DIFFERENT = 1e-3
NOT_STATED = "not stated"


def export_onnx(weights: str | Path, target: Path, catalog: Catalog) -> None:
    """Write weights with their pre- and post-processing to an ONNX file, after a check against `Restorer`.

    Args:
        weights: a published name, a .safetensors file, a run folder or a checkpoint.
        target: the .onnx file to write.
        catalog: the installed components.

    Raises:
        InstallationError: onnx or onnxruntime is missing.
        PluginError: the generator can't be exported, or the exported graph gives other results.
        OutputError: `target` can't be written. Other errors as `load_trained`.
    """
    _require_onnx()
    trained = load_trained(weights, torch.device("cpu"), catalog)
    settings = trained.plan.settings
    restorer = make_restorer(trained.network, settings.keep, torch.device("cpu"), settings.restoring)
    title = blame.title(trained.plan.generator.entry)
    data = trace_restorer(restorer, title)
    check_graph(data, restorer, title)
    model = _with_metadata(data, trained, catalog)
    files.write_bytes(target, model.SerializeToString())


def _require_onnx() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise InstallationError(
            f"Exporting to ONNX needs {error.name}, which is not installed: pip install '{DISTRIBUTION}[onnx]'"
        ) from error


def trace_restorer(restorer: Restorer, title: str) -> bytes:
    """Return the graph of a restorer as an ONNX file."""
    arguments = tuple(torch.from_numpy(array) for array in example_photo(*TRACED))
    try:
        with warnings.catch_warnings(), native_stdout_discarded(), tempfile.TemporaryDirectory() as folder:
            # torch prints the whole graph when an export fails. The tracer warns of each size that becomes a number;
            # `check_graph` finds those that matter.
            warnings.simplefilter("ignore")
            path = Path(folder) / "graph.onnx"
            torch.onnx.export(
                make_graph(restorer, *arguments),
                arguments,
                path,
                # The graph is traced, because sizes are tensors here and the shapes of other tensors depend on them.
                dynamo=False,
                opset_version=OPSET,
                input_names=list(INPUTS),
                output_names=list(OUTPUTS),
                dynamic_axes={
                    **{name: {0: "height", 1: "width"} for name in (*INPUTS, OUTPUTS[0])},
                    OUTPUTS[1]: {0: "network_height", 1: "network_width"},
                },
            )
            return _without_copies(path.read_bytes())
    except Exception as error:  # a plugin's network may fail in any way
        if is_out_of_memory(error):
            raise
        raise PluginError(f"{title} can't be exported to ONNX: {one_line(error)}") from error


def _without_copies(data: bytes) -> bytes:
    """Return an ONNX file without its copies of weights: onnxruntime warns of them when a loop uses them."""
    import onnx

    model = onnx.load_from_string(data)
    sources = {weight.name: weight.name for weight in model.graph.initializer}
    copies = []
    for node in model.graph.node:
        if node.op_type == "Identity" and node.input[0] in sources:
            sources[node.output[0]] = sources[node.input[0]]
            copies.append(node)
    for node in copies:
        model.graph.node.remove(node)
    graphs = [model.graph]
    while graphs:
        for node in graphs.pop().node:
            node.input[:] = [sources.get(name, name) for name in node.input]
            graphs += [attribute.g for attribute in node.attribute if attribute.HasField("g")]
    return model.SerializeToString()


def check_graph(data: bytes, restorer: Restorer, title: str) -> None:
    """Raise PluginError if the graph gives other results than the restorer, at sizes at which it was not traced.

    One of the photographs is dark: a graph has one branch of code that depends on the values of the picture.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # only fatal messages, because errors are raised too
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        for size, divisor in zip((*CHECKED, CHECKED[0]), (1, 1, 4), strict=True):
            image, mask = example_photo(*size)
            image = image // divisor
            expected = restorer(image, mask > 0)
            found = session.run([OUTPUTS[0]], dict(zip(INPUTS, (image, mask), strict=True)))[0]
            levels = np.abs(found.astype(int) - expected).max(2)
            share = float((levels > 1).mean())
            if share > MAX_DIFFERENT:
                raise PluginError(
                    f"{title} can't be exported to ONNX: at {size[1]}x{size[0]} pixels, {share:.1%} of the pixels of "
                    f"the exported graph differ, by up to {levels.max()} of 255 levels. The generator's code probably "
                    "depends on the size or the values of the picture."
                )
    except PluginError:
        raise
    except Exception as error:  # onnxruntime has many kinds of errors
        raise PluginError(f"{title} can't be exported to ONNX: its graph does not run: {one_line(error)}") from error


def _with_metadata(data: bytes, trained: TrainedGenerator, catalog: Catalog) -> onnx.ModelProto:
    """Return the model with the recipe, the licence and the hash of the weights; they are text for other programs."""
    import onnx

    model = onnx.load_from_string(data)
    specs = map(published_spec, list_published(catalog))
    licence = next((spec.licence for spec in specs if spec.path == trained.path), NOT_STATED)
    entries = {
        "toolbox": json.dumps(finite_json(asdict(trained.shared_header(catalog))), allow_nan=False),
        "keep": trained.plan.settings.keep,
        "licence": licence,
        "weights_sha256": files.sha256(trained.path),
    }
    model.producer_name, model.producer_version = DISTRIBUTION, toolbox_version()
    model.doc_string = (
        "Restores one photograph. image: (height, width, 3) uint8 RGB. mask: (height, width) uint8, not 0 where the "
        "photograph is lost. restored: as image. network: the network's own picture, float32 in [0, 1]."
    )
    onnx.helper.set_model_props(model, entries)
    onnx.checker.check_model(model)
    return model


def example_photo(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a smooth gray photograph (height, width, 3) uint8 and its mask (height, width) uint8 with two holes."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    waves = np.sin(x / 7) * np.cos(y / 11) + np.sin((x + 2 * y) / 23)
    image = np.repeat(np.rint(127 + 50 * waves).astype(np.uint8)[..., None], 3, axis=2)
    mask = np.zeros((height, width), np.uint8)
    mask[height // 4 : height // 2, width // 3 : 2 * width // 3] = 1
    mask[5 * height // 6 : 11 * height // 12, 4 : 4 + width // 10] = 1
    image[mask > 0] = 40
    return image, mask
