"""ONNX export: the arithmetic against OpenCV, the graph against the restorer, the example of the docs. 20 s."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
from commands import invoke, invoke_error, run_python
from documents import DOCS, blocks
from PIL import Image
from tiny_weights import write_tiny_run
from torch import nn

import toolbox
from toolbox import smooth_fill
from toolbox.data import sample
from toolbox.errors import PluginError
from toolbox.imaging import io
from toolbox.imaging.area import shrink_levels
from toolbox.inference import hole_filling, modes, onnx_export, onnx_resize
from toolbox.inference.onnx_export import check_graph, trace_restorer
from toolbox.inference.photo_view import make_view
from toolbox.inference.restorer import Restorer
from toolbox.inference.tiling import TiledNetwork
from toolbox.utils.files import sha256

SIZES = [(40, 60), (33, 47), (96, 64), (101, 75)]


def as_tensors(*values):
    return [torch.as_tensor(value) for value in values]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("target", [(20, 30), (13, 17), (33, 47), (32, 32)])
def test_shrinking_is_that_of_the_restorer(size, target):
    height, width = (min(pair) for pair in zip(size, target, strict=True))
    # Few levels, so that many means are halfway between two of them.
    picture = np.random.default_rng(0).integers(0, 4, size).astype(np.uint8)
    found = onnx_resize.shrink_levels(torch.from_numpy(picture).float()[None], *as_tensors(height, width))[0]
    np.testing.assert_array_equal(found.numpy(), shrink_levels(picture, height, width))


@pytest.mark.parametrize("size", SIZES)
def test_the_smooth_fill_is_that_of_arrays(size):
    random = np.random.default_rng(1)
    values, known = random.random(size, np.float32), np.ones(size, bool)
    known[5:30, 8:40] = False
    found = onnx_resize.smooth_fill(torch.from_numpy(values)[None], torch.from_numpy(known).float()[None])[0]
    np.testing.assert_allclose(found, smooth_fill.fill_array(values, known), atol=1e-5)


def test_enlarging_is_that_of_opencv():
    values = cv2.GaussianBlur(np.random.default_rng(2).random((12, 17), np.float32), (0, 0), 2)
    rows, columns = (
        onnx_resize.cubic_weights(*as_tensors(small, full), torch.arange(full)) for small, full in ((12, 40), (17, 61))
    )
    found = (rows @ torch.from_numpy(values) @ columns.T).numpy()
    np.testing.assert_allclose(found, cv2.resize(values, (61, 40), interpolation=cv2.INTER_CUBIC), atol=2e-3)


@pytest.mark.parametrize(
    "size", [(512, 512), (301, 407), (100, 50), (200, 1900), (1900, 200), (193, 192), (1002, 1002)]
)
def test_working_sizes_are_those_of_the_restorer(size):
    found = onnx_resize.working_size(*as_tensors(*size), 192)
    assert tuple(map(int, found)) == modes.working_size(size, 192)
    found = onnx_resize.context_size(*as_tensors(*size), torch.tensor(256))
    assert tuple(map(int, found)) == hole_filling.context_size(*size, 256)


def test_more_levels_than_needed_do_not_change_the_fill_of_tensors(monkeypatch):
    picture, mask = torch.rand(1, 1, 37, 50), torch.zeros(1, 1, 37, 50)
    mask[..., 5:30, 9:44] = 1
    expected = smooth_fill.fill_tensor(picture, mask)
    monkeypatch.setattr(torch.jit, "is_tracing", lambda: True)
    torch.testing.assert_close(smooth_fill.fill_tensor(picture, mask), expected, rtol=0, atol=0)


# ---- the graph


@pytest.fixture(scope="module", params=["none", "luma", pytest.param("rgb", marks=pytest.mark.drill)])
def exported(request, tmp_path_factory):
    """Return the restorer of a tiny network with a kind of `keep`, its run folder and its .onnx file."""
    folder = tmp_path_factory.mktemp(request.param)
    run = write_tiny_run(folder / "run", f"keep={request.param}", "restoring.size=32")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx_resize, "TRACED_LEVELS", 7)
        invoke("weights", "export", run, "-o", folder / "tiny.onnx")
    return toolbox.load_restorer(run, device="cpu", fill="network"), run, folder / "tiny.onnx"


def photos(count):
    """Yield gray photographs of several sizes as RGB, with masks: one hole, several and dust, and none."""
    for index, path in enumerate(io.find_images(sample.folder() / "photos")[:count]):
        height, width = SIZES[index % len(SIZES)]
        gray = io.read_gray(path)[:height, :width]
        for holes in (1, 4, 0):
            mask = np.zeros(gray.shape, bool)
            for box in (np.s_[7:25, 10:28], np.s_[28:31, 2:30], np.s_[2, 3], np.s_[26:33, 34:46])[:holes]:
                mask[box] = True
            yield np.repeat(np.where(mask, 60, gray)[..., None], 3, axis=2).astype(np.uint8), mask


def test_the_graph_gives_what_the_restorer_gives(exported):
    restorer, _, path = exported
    session = onnxruntime.InferenceSession(path)
    for image, mask in photos(4):
        found = session.run(["restored"], {"image": image, "mask": mask.astype(np.uint8)})[0]
        assert np.abs(found.astype(int) - restorer(image, mask)).max() <= 1


def test_the_metadata_say_what_the_file_is(exported):
    _, run, path = exported
    facts = onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
    assert facts["licence"] == "not stated" and facts["weights_sha256"] == sha256(run / "best.safetensors")
    assert f'keep = "{facts["keep"]}"' in json.loads(facts["toolbox"])["recipe"]


def test_the_example_of_the_docs_runs_without_torch_and_toolbox(exported, tmp_path):
    restorer, _, path = exported
    (code,) = blocks((DOCS / "onnx.md").read_text("utf-8"), "python")
    assert len([line for line in code.splitlines() if line]) <= 20
    blocked = "import sys; sys.modules.update(dict.fromkeys(('torch', 'toolbox', 'cv2', 'timm')))\n"
    (tmp_path / "restore.py").write_text(blocked + code, "utf-8")
    (tmp_path / "luma.onnx").write_bytes(path.read_bytes())
    image, mask = next(photos(1))
    io.write_png(tmp_path / "photo.png", image)
    io.write_png(tmp_path / "mask.png", mask * np.uint8(255))
    run_python("restore.py", "photo.png", "mask.png", folder=tmp_path)
    found = np.asarray(Image.open(tmp_path / "restored.png"))
    assert np.abs(found.astype(int) - restorer(image, mask)).max() <= 1


class DependsOnSize(nn.Module):
    """A generator whose Python code bakes the width of the traced picture into the graph."""

    def forward(self, image, mask):
        return (image * (float(image.shape[-1]) / 200)).clamp(0, 1)


class DependsOnValues(nn.Module):
    """A generator with a branch for dark pictures, which the traced picture does not take."""

    def forward(self, image, mask):
        return image if float(image.mean()) > 0.3 else 1 - image


class Untraceable(nn.Module):
    """A generator that a graph can't hold."""

    def forward(self, image, mask):
        return nn.functional.interpolate(image, scale_factor=1.0, mode="bicubic", antialias=True)


@pytest.mark.parametrize("network", [DependsOnSize(), DependsOnValues(), Untraceable()])
def test_a_generator_that_cannot_be_exported_is_named_in_one_line(network, capfd):
    restorer = Restorer(network=network, keep="none", device=torch.device("cpu"), multiple=1)
    with pytest.raises(PluginError, match=r"^Generator 'theirs' can't be exported to ONNX: .+") as raised:
        check_graph(trace_restorer(restorer, "Generator 'theirs'"), restorer, "Generator 'theirs'")
    assert "\n" not in str(raised.value) and capfd.readouterr().out == ""


def test_wrong_names_and_a_missing_library_are_errors(tmp_path, monkeypatch):
    assert "Name one file" in invoke_error("weights", "export", "luma")
    assert ".safetensors or .onnx" in invoke_error("weights", "export", "luma", "luma.pt")
    assert "--half is for" in invoke_error("weights", "export", "luma", "-o", "a.onnx", "--half")
    monkeypatch.setitem(sys.modules, "onnx", None)
    message = invoke_error("weights", "export", "luma", "-o", "a.onnx", code=1)
    assert "needs onnx" in message and "toolbox-restore[onnx]" in message
    assert not Path("a.onnx").exists()


def test_loading_the_file_gives_no_warning(exported, capfd):
    onnxruntime.InferenceSession(exported[2])
    assert "[W:onnxruntime" not in "".join(capfd.readouterr())


@pytest.mark.drill
def test_the_shipped_weights_give_the_same_on_50_photographs(shared, tmp_path):
    invoke("weights", "export", "luma", "-o", tmp_path / "luma.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "luma.onnx")
    restorer = toolbox.load_restorer("luma", device="cpu", fill="network")
    pairs = shared / "benchmarks" / "kodak24-damaged"
    cases = [
        (io.read_gray(path), io.read_mask(pairs / "masks" / path.name)) for path in io.find_images(pairs / "input")
    ]
    for path in io.find_images(shared / "photos" / "train")[::25][:26]:
        gray = io.read_gray(path)
        cases.append((gray, np.zeros(gray.shape, bool)))
    assert len(cases) == 50
    beyond = 0
    for gray, mask in cases:
        image = np.repeat(gray[..., None], 3, axis=2)
        found, picture = session.run(["restored", "network"], {"image": image, "mask": mask.astype(np.uint8)})
        levels = np.abs(found.astype(int) - restorer(gray, mask)).max(2)
        assert levels.max() <= 2
        beyond += int((levels > 1).sum())
        view = make_view(gray, mask).resize(*modes.working_size(gray.shape, restorer.size))
        network = TiledNetwork(
            network=restorer.network, device=restorer.device, multiple=32, tile=640, receptive_radius=int, warn=print
        )
        assert np.abs(network.run(view) - picture).max() < 1e-5
    # One step, but for a white pixel at the edge of the range of colours: a channel is halfway between 255 and 256, so
    # the last bit of a float decides whether the pixel is made less saturated.
    assert beyond <= 1
    assert re.fullmatch("CC-BY-SA-4.0", session.get_modelmeta().custom_metadata_map["licence"])
    assert onnx_export.OPSET == 18
