"""The colouriser by flow matching: its way, its loss, and that a resumed run is the same. Some 6 s."""

from __future__ import annotations

import pytest
import torch
from click.testing import CliRunner
from runs import newest_checkpoint, steps
from toolbox_plugins.flow.network import SCALE, FlowColorizer, scaled_colors
from toolbox_plugins.flow.step import flow_matching_step

from toolbox.cli import main
from toolbox.color import cbcr, luma
from toolbox.testing import examples
from toolbox.testing.steps import ExampleContext

TINY = [
    "--set=generator.width=8",
    "--set=generator.levels=2",
    "--size=32",
    "--device=cpu",
    "--batch=2",
    "--set=validation.every=2",
]


def make_network(steps=4):
    torch.manual_seed(0)
    return FlowColorizer(width=8, levels=2, steps=steps).double()


def take_step(network, batch, seed=0):
    """Take a training step; return its loss."""
    random = torch.Generator().manual_seed(seed)
    context = ExampleContext(generator=network, discriminator=torch.nn.Identity(), random=random)
    flow_matching_step(context, batch)
    return context.terms["g"]


def test_the_euler_steps_follow_the_velocity(monkeypatch):
    seen = []

    def velocity(self, gray, mask, colors, time):
        seen.append(float(time[0]))
        return torch.full_like(colors, 0.4) * (1 + time[:, None, None, None])

    monkeypatch.setattr(FlowColorizer, "velocity", velocity)
    gray = torch.full((2, 3, 8, 8), 0.5, dtype=torch.float64)
    colored = make_network(steps=4)(gray, gray[:, :1] * 0)
    assert seen == [0, 0.25, 0.5, 0.75]
    expected = 0.4 * (4 + 0.25 + 0.5 + 0.75) / 4 / SCALE
    assert torch.allclose(cbcr(colored), torch.full((2, 2, 8, 8), expected, dtype=torch.float64))
    assert torch.allclose(luma(colored), gray[:, :1])


def test_the_loss_is_that_of_the_straight_way():
    batch = examples.batch(16, 16, size=2, dtype=torch.float64)
    network = make_network()
    loss = take_step(network, batch, seed=5)
    draw = torch.Generator().manual_seed(5)
    noise = torch.randn(2, 2, 16, 16, generator=draw).double()
    time = torch.rand(2, generator=draw).double()
    target = SCALE * cbcr(batch.truth) - noise
    moved = noise + time.view(2, 1, 1, 1) * target
    predicted = network(batch.image, batch.mask, moved, time).detach()
    expected = ((predicted - target) ** 2 * (1 - batch.mask)).sum() / target.numel()
    assert float(loss) == pytest.approx(float(expected), rel=1e-9)
    assert torch.equal(scaled_colors(batch.truth), SCALE * cbcr(batch.truth))


def test_it_learns_the_colours_of_a_picture():
    batch = examples.batch(16, 16, size=2, dtype=torch.float64)
    network = make_network()
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)

    def error():
        with torch.no_grad():
            restored = network(batch.image, batch.mask)
        return float(((cbcr(restored) - cbcr(batch.truth)) * (1 - batch.mask)).square().mean())

    gray = float((cbcr(batch.truth) * (1 - batch.mask)).square().mean())
    for number in range(60):
        optimizer.zero_grad()
        take_step(network, batch, seed=number)
        optimizer.step()
    assert error() < gray / 2


def test_a_run_that_is_resumed_is_the_same_to_the_bit(tmp_path, photos):
    def run(*options):
        result = CliRunner().invoke(main, ["run", "--data", str(photos), *map(str, options)])
        assert result.exit_code == 0, result.output

    through, resumed = tmp_path / "through", tmp_path / "resumed"
    run("--recipe", "flow", "--out", through, "--epochs", 2, *TINY)
    run("--recipe", "flow", "--out", resumed, "--epochs", 2, "--steps", 3, *TINY)
    run("--resume", resumed, "--steps", 4)

    def tensors(folder):
        return {path.name: path.read_bytes() for path in newest_checkpoint(folder).glob("*.safetensors")}

    assert len(steps(through)) == 4 and steps(resumed) == steps(through)
    assert tensors(resumed) == tensors(through) and "average.safetensors" in tensors(through)
