"""The changes to torch's own state: they are made in one module only, and are undone when their context ends."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from toolbox.distributed import torch_patches

ROOT = Path(__file__).parents[2] / "toolbox"
PRIVATE = {"TorchFunctionMode", "_BatchNorm", "_NormBase", "_buffers", "found_inf", "grad_scale", "_exit"}
# The conformance kit watches calls of torch functions, and changes none.
WATCHING = "testing/devices.py"


def patches(text):
    """Return the places of a module that change torch: names of its private state, and assignments to `forward`."""
    places = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute) and node.attr in PRIVATE:
            places.append(f"{node.lineno}: {node.attr}")
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("torch"):
            places += [f"{node.lineno}: {alias.name}" for alias in node.names if alias.name in PRIVATE]
        if isinstance(node, ast.Attribute) and node.attr == "forward" and isinstance(node.ctx, ast.Store):
            places.append(f"{node.lineno}: forward")
    return places


@pytest.mark.parametrize("name", sorted(str(path.relative_to(ROOT)) for path in ROOT.rglob("*.py")))
def test_one_module_changes_torch(name):
    places = patches((ROOT / name).read_text("utf-8"))
    assert bool(places) == (name in ("distributed/torch_patches.py", WATCHING)), places


def test_a_replaced_batch_norm_is_used_in_training_mode_and_inside_the_block_only():
    layer, x = nn.BatchNorm2d(2), torch.rand(1, 2, 3, 3)
    with torch_patches.replaced_batch_norm(lambda x, *_, **__: x):
        assert layer(x) is x
        assert layer.eval()(x) is not x
    assert layer.train()(x) is not x


def test_fused_optimizers_get_the_replaced_tensors_inside_the_block_only():
    weight = nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    optimizer = torch.optim.SGD([weight], lr=1.0, fused=True)
    with torch_patches.local_fused_optimizers(lambda tensors: [tensor[:1] for tensor in tensors]):
        optimizer.step()
    assert weight.tolist() == [0, 1]
    optimizer.step()
    assert weight.tolist() == [-1, 0]


def test_running_statistics_are_the_old_ones_after_the_block():
    layer = nn.BatchNorm2d(2)
    before = layer.running_mean
    with torch_patches.copied_running_statistics(layer):
        layer(torch.rand(1, 2, 3, 3))
        assert layer.running_mean.any()
    assert layer.running_mean is before and not before.any() and int(layer.num_batches_tracked) == 0


@pytest.mark.parametrize(("flag", "expected"), [(0.0, 0.0), (1.0, 1.0)])
def test_a_flag_decides_whether_a_fused_optimizer_changes_its_weights(flag, expected):
    weight = nn.Parameter(torch.ones(()))
    weight.grad = torch.ones(())
    optimizer = torch.optim.SGD([weight], lr=1.0, fused=True)
    torch_patches.skip_update_if(optimizer, torch.tensor(flag))
    optimizer.step()
    assert weight.item() == expected


def test_a_wrapped_forward_leaves_type_and_state_as_they_are():
    layer = nn.Linear(2, 2)
    keys, x = list(layer.state_dict()), torch.rand(1, 2)
    torch_patches.wrap_forward(layer, lambda forward: lambda x: 2 * forward(x))
    assert torch.equal(layer(x), 2 * F.linear(x, layer.weight, layer.bias))
    assert type(layer) is nn.Linear and list(layer.state_dict()) == keys
