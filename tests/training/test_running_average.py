"""The running average of the generator's weights: its values, its use, and that it is resumed exactly."""

from __future__ import annotations

import threading

import pytest
import torch
from runs import newest_checkpoint, run, steps
from safetensors.torch import load_file
from torch import nn

from toolbox.errors import PluginError
from toolbox.training.running_average import running_average

SIZE = ["--size", 32, "--batch", 2]
AVERAGE = ["--set", "training.average=0.9"]


def test_weights_and_buffers_are_averaged_with_a_decay_that_grows_to_its_limit():
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)).double()
    averaged = running_average(network, 0.3)
    expected = None
    for number in range(6):
        with torch.no_grad():
            for value in [*network.parameters(), *network.buffers()]:
                value.copy_(torch.full_like(value, float(number * number)))
        averaged.update_parameters(network)
        # The first values are copied. Then the decay is (1 + n) / (10 + n) until that exceeds 0.3, after three steps.
        decay = min(0.3, (1 + number) / (10 + number))
        expected = float(number * number) if expected is None else decay * expected + (1 - decay) * number * number
        for name in ("0.weight", "1.running_mean", "1.running_var"):
            actual = averaged.module.state_dict()[name]
            assert torch.allclose(actual, torch.full_like(actual, expected), rtol=1e-12), name


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two, self.norm = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
        self.two.weight = self.one.weight

    def forward(self, x):
        return self.norm(self.two(self.one(x)))


def with_weight_norm():
    network = nn.Sequential(nn.Conv2d(3, 3, 1), Tied())
    for layer in (network[0], network[1].one):
        nn.utils.weight_norm(layer)
    # The hook has taken the weight; tie what it is computed from.
    network[1].two.register_parameter("weight", None)
    network[1].two.weight = network[1].one.weight_v
    return network


def from_jit():
    return nn.Sequential(nn.Conv2d(3, 3, 1), torch.jit.script(Tied()))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("build", [with_weight_norm, from_jit])
def test_networks_with_weights_that_torch_does_not_copy_are_averaged(build):
    network, pictures = build(), torch.rand(2, 3, 4, 4)
    random = torch.get_rng_state()
    averaged = running_average(network, 0.5)
    assert torch.equal(torch.get_rng_state(), random)
    assert not any(weight.requires_grad for weight in averaged.parameters())
    assert all(weight.requires_grad and weight.is_leaf for weight in network.parameters())
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    states = []
    for _ in range(2):
        network(pictures).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        averaged.update_parameters(network)
        states.append({name: value.clone() for name, value in network.state_dict().items()})
    first, second = states
    for name, value in averaged.module.state_dict().items():
        # The first update copies; the decay of the second is 2 / 11.
        if value.is_floating_point():
            assert torch.allclose(value, first[name] * 2 / 11 + second[name] * 9 / 11, atol=1e-6), name
    network.load_state_dict(averaged.module.state_dict())
    assert torch.equal(averaged.module.eval()(pictures), network.eval()(pictures))


@pytest.mark.filterwarnings("ignore")
def test_a_network_that_can_not_be_copied_is_refused():
    locked, shared = nn.Conv2d(3, 3, 1), nn.Sequential(nn.Conv2d(3, 3, 1), Tied())
    locked.lock = threading.Lock()
    shared[0].weight = shared[1].one.weight
    shared[1] = torch.jit.script(shared[1])
    for network, reason in ((locked, "copy.deepcopy raises TypeError: .*lock"), (shared, "shares some with another")):
        with pytest.raises(
            PluginError, match=f"can't be copied for training.average .*{reason}.*leave training.average out"
        ):
            running_average(network, 0.9)


class Hooked(nn.Module):
    """A network that keeps the features of a layer by a hook, which `make` returns for a network."""

    def __init__(self, make):
        super().__init__()
        self.layer, self.features = nn.Conv2d(3, 3, 1), {}
        self.layer.register_forward_hook(make(self))

    def keep(self, layer, inputs, output):
        self.features["layer"] = output

    def forward(self, picture):
        self.layer(picture)
        return self.features["layer"]


def writes_through(store):
    return lambda layer, inputs, output: store.update(layer=output)


@pytest.mark.parametrize(
    "make",
    [
        lambda network: lambda layer, inputs, output: network.keep(layer, inputs, output),
        lambda network: writes_through(network.features),
    ],
    ids=["network", "dict"],
)
def test_a_hook_that_would_write_into_the_original_is_refused(make):
    with pytest.raises(PluginError, match="the hook .* writes into the network .* register a method of the module"):
        running_average(Hooked(make), 0.9)


@pytest.mark.parametrize(
    "make", [lambda network: network.keep, lambda network: lambda layer, inputs, output: output + 1]
)
def test_a_hook_that_is_copied_or_holds_nothing_is_accepted(make):
    network, picture = Hooked(make), torch.rand(1, 3, 4, 4)
    network.features["layer"] = picture
    averaged = running_average(network, 0.9)
    assert averaged(picture).shape == picture.shape and network.features["layer"] is picture


def test_the_average_is_saved_as_the_best_weights(tmp_path, photos):
    out = tmp_path / "out"
    run("--data", photos, "--out", out, "--epochs", 1, *SIZE, *AVERAGE)
    saved = newest_checkpoint(out)
    best, current = load_file(out / "best.safetensors"), load_file(saved / "generator.safetensors")
    averaged = load_file(saved / "average.safetensors")
    assert all(torch.equal(best[name], averaged[f"module.{name}"]) for name in best)
    assert any(not torch.equal(best[name], current[name]) for name in best)


def test_the_average_changes_no_step(tmp_path, photos):
    for name, options in (("with", AVERAGE), ("without", [])):
        run("--data", photos, "--out", tmp_path / name, "--epochs", 2, *SIZE, *options)
    assert steps(tmp_path / "with") == steps(tmp_path / "without") and len(steps(tmp_path / "with")) == 4


def test_a_resumed_average_is_exact(tmp_path, photos):
    options = ["--data", photos, "--epochs", 3, *SIZE, *AVERAGE]
    run("--out", tmp_path / "uninterrupted", *options)
    run("--out", tmp_path / "resumed", *options, "--set", "training.steps=3")
    recipe = tmp_path / "resumed" / "recipe.toml"
    recipe.write_text(recipe.read_text("utf-8").replace("steps = 3\n", ""), "utf-8")
    run("--resume", tmp_path / "resumed")
    expected, actual = (
        load_file(newest_checkpoint(tmp_path / name) / "average.safetensors") for name in ("uninterrupted", "resumed")
    )
    assert all(torch.equal(actual[key], expected[key]) for key in expected)
