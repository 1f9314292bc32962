"""What checkpoints lack must be the same in each build; otherwise saved weights would belong to another network."""

from __future__ import annotations

import math
import re
import warnings
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from toolbox import GeneratorSpec, Params
from toolbox.config.plan import BoundComponent
from toolbox.hooks.blame import WrongResultError
from toolbox.hooks.catalog import Entry
from toolbox.models.build import build_twice


class Partly(nn.Module):
    """A generator with a frozen layer that checkpoints leave out, and a factor."""

    def __init__(self, *, draw_layer, add_factor=lambda module: None):
        super().__init__()
        self.layer, self.frozen = nn.Conv2d(4, 3, 1), nn.Conv2d(3, 3, 1).requires_grad_(False)
        self.frozen.checkpoint = False
        if not draw_layer:
            nn.init.ones_(self.frozen.weight)
            nn.init.zeros_(self.frozen.bias)
        add_factor(self)


def bound(**arguments):
    spec = GeneratorSpec(name="rigged", summary="x", build=lambda params: Partly(**arguments))
    entry = Entry(kind="generator", spec=spec, plugin="stranger", distribution="", version="")
    return BoundComponent(label="", entry=entry, params=Params(), options={})


def test_a_frozen_layer_that_is_not_saved_must_be_the_same_in_each_build():
    words = "gets other values in frozen.weight, which `checkpoint = False` keeps out of checkpoints, each time"
    with pytest.raises(WrongResultError, match=words):
        build_twice(bound(draw_layer=True))


def test_the_second_build_changes_no_random_numbers():
    torch.manual_seed(3)
    expected, drawn = Partly(draw_layer=False).layer.weight, torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(build_twice(bound(draw_layer=False)).layer.weight, expected)
    assert torch.equal(torch.rand(1), drawn) and torch.initial_seed() == 3


def with_weight(value):
    layer = nn.Linear(3, 1, bias=False).requires_grad_(False)
    layer.weight.copy_(value)
    return layer


class Holder:
    """An object that is no module."""

    def __init__(self, value):
        self.values = {"a": value}


def hold(module, name, value):
    setattr(module, name, value)


FACTORS = {
    "a list": lambda value: lambda module: hold(module, "f", [value()]),
    "a private list": lambda value: lambda module: hold(module, "_f", [value()]),
    "an object": lambda value: lambda module: hold(module, "f", Holder(value())),
    "a module in a list": lambda value: lambda module: hold(module, "f", [with_weight(value())]),
    "a module in an object": lambda value: lambda module: hold(module, "f", Holder(with_weight(value()))),
    "a buffer that is not saved": lambda value: lambda module: module.register_buffer("f", value(), persistent=False),
    "an attribute": lambda value: lambda module: setattr(module, "f", value()),
    "a buffer that is saved": lambda value: lambda module: module.register_buffer("f", value()),
}


@pytest.mark.parametrize("kind", FACTORS)
@pytest.mark.parametrize("is_drawn", [False, True])
def test_another_tensor_that_is_not_saved_is_named_if_each_build_draws_it(kind, is_drawn):
    def value():
        return torch.rand(3) if is_drawn else torch.tensor([1.0, math.nan, math.inf])

    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        build_twice(bound(draw_layer=False, add_factor=FACTORS[kind](value)))
    words = r"gets other values in _?f[\w.]*, which is not saved, each time"
    is_named = any(re.search(words, str(one.message)) for one in found)
    assert is_named == (is_drawn and kind != "a buffer that is saved")


@pytest.mark.filterwarnings("ignore:.*jit.*:DeprecationWarning", "ignore:.*jit.*:FutureWarning")
def test_a_traced_network_that_is_saved_is_not_named():
    def trace(params):
        return torch.jit.trace(nn.Conv2d(4, 3, 1), torch.rand(1, 4, 8, 8))

    one = bound(draw_layer=False)
    spec = replace(one.entry.spec, build=trace)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        build_twice(replace(one, entry=replace(one.entry, spec=spec)))
    assert not [each for each in found if "each time it is built" in str(each.message)]


@pytest.mark.parametrize("wrap", ["spectral_norm", "weight_norm", "prune"])
def test_weights_that_torch_computes_before_each_call_are_not_named(wrap):
    """A warning asked to make them persistent buffers."""
    wraps = {
        "spectral_norm": nn.utils.spectral_norm,
        "weight_norm": nn.utils.weight_norm,
        "prune": lambda layer: prune.random_unstructured(layer, "weight", 0.5),
    }

    def add_layer(module):
        module.wrapped = wraps[wrap](nn.Conv2d(3, 3, 1))

    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        component = build_twice(bound(draw_layer=False, add_factor=add_layer))
    assert "weight" not in dict(component.wrapped.named_parameters())
    assert not [one for one in found if "each time it is built" in str(one.message)]
