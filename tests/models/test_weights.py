"""Loading weights by name, file and run folder, and every error. About 3 s."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import struct
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from catalogs import default_catalog, plugin
from click.testing import CliRunner
from rigged.sound import Generator
from safetensors.torch import load_file, save_file

import toolbox
from toolbox import GeneratorSpec
from toolbox.cli import main
from toolbox.config import recipe
from toolbox.config.binding import bind
from toolbox.errors import UsageError, WeightsError
from toolbox.hooks import catalog, registry
from toolbox.inference.loading import load_restorer
from toolbox.models import weight_file
from toolbox.models.build import build_generator
from toolbox.models.weight_file import WeightsHeader
from toolbox.models.weights import load_network

TINY = ["generator.width=4", "generator.levels=2", "keep=luma", "restoring.size=32", "restoring.tile=256"]


def read(*overrides):
    return recipe.read("default", lambda name: default_catalog().recipe(name).path, [*TINY, *overrides])


def save(path, plan, network, dtype=torch.float32):
    header = WeightsHeader(recipe=recipe.dump(plan.tree()), recipe_name=plan.name, step=1)
    weight_file.write_weights(path, network.to(dtype).state_dict(), header)
    return path


@pytest.fixture
def trained(tmp_path):
    """Write the weights of a tiny U-Net as a run does, and return their path."""
    torch.manual_seed(1)
    plan = bind(read(), default_catalog())
    return save(tmp_path / "mine.safetensors", plan, build_generator(plan, torch.device("cpu")))


def without_digest(path):
    """Return the header of a weight file for tensors that a person has changed."""
    header = asdict(weight_file.read_header(path))
    assert header.pop("digest")
    return header


@pytest.fixture
def photo():
    return np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)


def test_a_file_a_run_folder_and_a_name_give_the_same_restorer(trained, photo, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    folder.mkdir()
    shutil.copy(trained, folder / "best.safetensors")
    listed = registry.Weights(
        name="mine",
        file=str(trained),
        sha256=hashlib.sha256(trained.read_bytes()).hexdigest(),
        licence="CC0-1.0",
        recipe="default",
    )
    shipped = registry.read_registry(registry.shipped_path(), registry.Registry)
    with_mine = shipped.model_copy(update={"weights": [listed]})
    monkeypatch.setattr(registry, "read", lambda: registry.Registries(shipped=with_mine, user=registry.UserRegistry()))
    results = [
        toolbox.load_restorer(weights, device="cpu")(photo) for weights in (trained, str(trained), folder, "mine")
    ]
    assert all(np.array_equal(results[0], result) for result in results[1:])
    assert results[0].shape == (40, 50, 3) and len(np.unique(results[0][..., 0] - results[0][..., 1])) > 1
    with pytest.raises(UsageError, match="Did you mean 'mine'"):
        load_restorer("mien", device="cpu")


def test_a_restorer_follows_the_recipe_unless_an_argument_differs(trained):
    restorer = load_restorer(trained, device="cpu")
    assert (restorer.keep, restorer.size, restorer.tile, restorer.multiple) == ("luma", 32, 256, 1)
    assert not restorer.network.training
    changed = load_restorer(trained, device="cpu", keep="rgb", tile=64)
    assert (changed.keep, changed.size, changed.tile) == ("rgb", 32, 64)


def test_half_precision_weights_are_loaded_as_float32(trained, photo, tmp_path):
    half = {name: value.half() for name, value in load_file(trained).items()}
    header = without_digest(trained)
    save_file(half, tmp_path / "half.safetensors", {"toolbox": json.dumps(header)})
    full, small = (load_restorer(path, device="cpu") for path in (trained, tmp_path / "half.safetensors"))
    assert {value.dtype for value in small.network.state_dict().values()} == {torch.float32}
    assert np.abs(full(photo).astype(int) - small(photo)).max() <= 2


def test_weights_with_damaged_data_are_refused_unless_the_digest_is_removed(trained, photo):
    """They restored photographs wrongly, without a word."""
    data = bytearray(trained.read_bytes())
    data[-2048:-1024] = bytes(1024)
    trained.write_bytes(data)
    for load in (lambda: load_restorer(trained, device="cpu"), lambda: load_network(trained)):
        with pytest.raises(WeightsError, match=r"is damaged: its weights are not those that were written\. .* digest"):
            load()
    save_file(load_file(trained), trained, {"toolbox": json.dumps(without_digest(trained))})
    assert load_restorer(trained, device="cpu")(photo).shape == (40, 50, 3)


def test_weights_of_a_real_run_restore(tmp_path, photo):
    options = ["--recipe", "default", "--device", "cpu", "--size", "32", "--steps", "1", "--out", str(tmp_path / "run")]
    sets = [word for override in (*TINY, "discriminator.width=4") for word in ("--set", override)]
    result = CliRunner().invoke(main, ["run", *options, *sets])
    assert result.exit_code == 0, result.output
    restored = toolbox.load_restorer(tmp_path / "run", device="cpu")(photo)
    assert np.array_equal(toolbox.load_restorer(tmp_path / "run" / "best.safetensors", device="cpu")(photo), restored)


def raw(path, header, body=b"", length=None):
    """Write a safetensors file by hand: the length of the header in 8 bytes, the header, the values."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + body)


def entry(first, last, shape=(2,), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [first, last]}


def metadata_of(text):
    return {"__metadata__": {"toolbox": text}}


def npz():
    stream = io.BytesIO()
    np.savez(stream, a=np.zeros(2))
    return stream.getvalue()


DEEP = "[" * 200_000
HOSTILE = {
    "a length of 2^40": lambda path: raw(path, {"a": entry(0, 8)}, bytes(8), 2**40),
    "a length of 2^64": lambda path: raw(path, {"a": entry(0, 8)}, bytes(8), 2**64 - 1),
    "longer than the file": lambda path: raw(path, {"a": entry(0, 8)}, bytes(8), 500),
    "overlapping": lambda path: raw(path, {"a": entry(0, 8), "b": entry(4, 12)}, bytes(12)),
    "equal offsets": lambda path: raw(path, {"a": entry(0, 8), "b": entry(0, 8)}, bytes(8)),
    "out of the file": lambda path: raw(path, {"a": entry(0, 2**42, [2**40])}, bytes(8)),
    "negative size": lambda path: raw(path, {"a": entry(8, 0)}, bytes(8)),
    "a gap": lambda path: raw(path, {"a": entry(8, 16)}, bytes(16)),
    "a shape that overflows": lambda path: raw(path, {"a": entry(0, 8, [2**62, 2**62])}, bytes(8)),
    "no such type": lambda path: raw(path, {"a": entry(0, 8, dtype="OBJECT")}, bytes(8)),
    "deep in brackets": lambda path: raw(path, DEEP.encode()),
    "metadata deep in brackets": lambda path: raw(path, metadata_of(DEEP)),
    "metadata that is not JSON": lambda path: raw(path, metadata_of("{'recipe': 1}")),
    "empty": lambda path: path.write_bytes(b""),
    "a pickle": lambda path: torch.save({"a": torch.zeros(2)}, path),
    "an old pickle": lambda path: torch.save({"a": torch.zeros(2)}, path, _use_new_zipfile_serialization=False),
    "a zip of arrays": lambda path: path.write_bytes(npz()),
}


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("kind", HOSTILE)
def test_files_of_other_formats_are_refused_in_one_line(tmp_path, kind, suffix):
    path = tmp_path / f"theirs{suffix}"
    HOSTILE[kind](path)
    with pytest.raises(WeightsError, match=rf"theirs{suffix} can't be read as safetensors: ") as raised:
        load_restorer(path, device="cpu")
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 600


def change_tensors(path, kind):
    """Write a file again with changed tensors, and return the name of the changed one."""
    tensors, header = load_file(path), without_digest(path)
    name = min(tensors)
    if kind == "missing":
        del tensors[name]
    elif kind == "unexpected":
        tensors["a\nb"] = torch.zeros(2)
    elif kind == "another shape":
        tensors[name] = torch.zeros(3, 5)
    elif kind in ("int64", "complex64", "bool"):
        tensors[name] = tensors[name].to(getattr(torch, kind))
    else:
        tensors[name] = torch.full_like(tensors[name], float(kind))
    save_file(tensors, path, {"toolbox": json.dumps(header)})
    return name


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "{} is missing"),
        ("unexpected", r"a\nb is not expected"),
        ("another shape", "{} is [3, 5], not ["),
        ("int64", "{} is torch.int64, not torch.float32"),
        ("complex64", "{} is torch.complex64, not torch.float32"),
        ("bool", "{} is torch.bool, not torch.float32"),
        ("inf", "{} is not finite"),
        ("-inf", "{} is not finite"),
    ],
)
def test_tensors_that_do_not_fit_are_named(trained, kind, message):
    name = change_tensors(trained, kind)
    with pytest.raises(WeightsError) as raised:
        load_restorer(trained, device="cpu")
    assert str(raised.value).startswith(f"{trained} does not fit: ") and message.format(name) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_name_twice_in_the_header_is_refused(trained):
    data = trained.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    name = next(name for name in header if name != "__metadata__")
    # The same entry again; safetensors uses the last one.
    text = json.dumps(header)[:-1] + f", {json.dumps(name)}: {json.dumps(header[name])}}}"
    raw(trained, text.encode(), data[8 + length :])
    with pytest.raises(WeightsError, match="can't be read as safetensors: its header has a name twice"):
        load_restorer(trained, device="cpu")


def test_a_recipe_deep_in_brackets_is_refused(trained):
    header = asdict(weight_file.read_header(trained))
    save_file(load_file(trained), trained, {"toolbox": json.dumps(header | {"recipe": f"a = {DEEP}"})})
    with pytest.raises(WeightsError, match="can't be used: its recipe is not valid TOML") as raised:
        load_restorer(trained, device="cpu")
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 600


def damage_file(kind, path):
    if kind == "missing":
        return "nowhere.safetensors"
    if kind == "a folder without":
        (path.parent / "empty").mkdir()
        return path.parent / "empty"
    if kind == "not safetensors":
        path.write_bytes(b"not at all")
    if kind == "cut short":
        path.write_bytes(path.read_bytes()[:-9])
    if kind in ("not safetensors", "cut short"):
        return path
    tensors, header = load_file(path), without_digest(path)
    if kind == "no recipe":
        header = {"step": 1}
    if kind == "not TOML":
        header["recipe"] = "= ="
    if kind == "unknown generator":
        header["recipe"] = header["recipe"].replace('"inpainting-unet"', '"inpainting-unets"')
    if kind == "other shapes":
        header["recipe"] = header["recipe"].replace("width = 4", "width = 5")
    if kind == "not finite":
        next(iter(tensors.values())).view(-1)[0] = float("nan")
    save_file(tensors, path, {"toolbox": json.dumps(header)})
    return path


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("missing", UsageError, r"There is no weight file nowhere.safetensors. .* toolbox weights"),
        ("a folder without", UsageError, r"empty has no best.safetensors"),
        ("not safetensors", WeightsError, r"mine.safetensors can't be read as safetensors"),
        ("cut short", WeightsError, r"mine.safetensors can't be read as safetensors"),
        ("no recipe", WeightsError, r"mine.safetensors is not a weight file of toolbox"),
        ("not TOML", WeightsError, r"mine.safetensors can't be used: its recipe is not valid TOML"),
        ("unknown generator", WeightsError, r"mine.safetensors can't be used here: generator.name: .*Did you mean"),
        ("other shapes", WeightsError, r"mine.safetensors does not fit"),
        ("not finite", WeightsError, r"mine.safetensors does not fit: .* is not finite"),
    ],
)
def test_every_error_is_one_line_that_names_the_file(trained, kind, error, message):
    with pytest.raises(error, match=message) as raised:
        load_restorer(damage_file(kind, trained), device="cpu")
    assert "\n" not in str(raised.value)


def test_weights_of_a_missing_plugin_name_it(tmp_path):
    spec = GeneratorSpec(name="theirs", summary="Theirs", build=lambda params: Generator())
    manager = catalog.managers.load(third_party=False)
    manager.pm.register(plugin(toolbox_generators=lambda: [spec]), name="their-plugin")
    manager.records.append(
        catalog.PluginRecord(name="their-plugin", origin="package", source="theirs", distribution="theirs", version="2")
    )
    theirs = read("generator.enabled=true")
    theirs.tree["generator"] = {"name": "theirs"}
    plan = bind(theirs, catalog.build(manager))
    path = save(tmp_path / "theirs.safetensors", plan, Generator())
    with pytest.raises(
        WeightsError, match=r"theirs.safetensors can't be used here: .*the plugin 'their-plugin' \(theirs"
    ):
        load_restorer(path, device="cpu")
    assert load_restorer(path, device="cpu", catalog=catalog.build(manager)).multiple == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep": "colour"}, "keep is 'colour'; it must be one of none, luma, rgb"),
        ({"tile": 10}, "A tile of 10 pixels is not possible; use a whole number of at least 64"),
        ({"device": "tpu"}, "device tpu is not"),
    ],
)
def test_invalid_arguments_are_refused(trained, options, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        load_restorer(trained, **options)


def test_a_folder_is_used_if_no_weights_have_its_name(trained, monkeypatch):
    monkeypatch.chdir(trained.parent)
    Path("mine").mkdir()
    with pytest.raises(UsageError, match="mine has no best.safetensors"):
        load_restorer("mine", device="cpu")
    shutil.copy(trained, "mine/best.safetensors")
    assert load_restorer("mine", device="cpu").keep == "luma"


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_a_weight_file_without_read_permission():
    folder = Path(tempfile.mkdtemp())  # other users can reach it
    path = folder / "w.safetensors"
    path.write_bytes(b"x")
    path.chmod(0)
    folder.chmod(0o755)
    is_root = os.geteuid() == 0
    try:
        if is_root:
            os.seteuid(65534)
        with pytest.raises(WeightsError, match=f"^{re.escape(str(path))} can't be read: no permission$"):
            weight_file.has_header(path)
    finally:
        if is_root:
            os.seteuid(0)
        shutil.rmtree(folder)
