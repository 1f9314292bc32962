"""Every component of every bundle that ships, through the conformance kit. Some 25 s."""

from __future__ import annotations

import pytest

from toolbox.hooks import catalog
from toolbox.hooks.kinds import KINDS
from toolbox.testing import check_component, table
from toolbox.testing.plugins import light, loads

CATALOG = catalog.load(third_party=False)

# Where a component's own defaults are large: the same code at a small size.
TINY = {"name": "inpainting-unet", "width": 4, "levels": 2}
DECODER = {"encoder": "tu-test_resnet", "channels": [16, 8, 8, 4, 4]}
SMALL = {
    "generator/inpainting-unet": {"width": 4, "levels": 3},
    "generator/residual-unet": {"width": 4, "levels": 3},
    "generator/gated-unet": {"width": 4, "levels": 3},
    "generator/two-stage": {"gray": TINY, "color": TINY},
    "generator/timm-unet": {"backbone": "test_resnet", "decoder": [16, 8, 8, 4, 4]},
    "generator/smp-unet": DECODER,
    "generator/smp-unetplusplus": DECODER,
    "generator/smp-manet": DECODER | {"attention_channels": 8},
    "generator/smp-linknet": {"encoder": "tu-test_resnet"},
    "generator/smp-fpn": {"encoder": "tu-test_resnet", "pyramid_channels": 16, "channels": 32},
    "generator/smp-deeplabv3plus": {"encoder": "tu-test_resnet", "channels": 8},
    "generator/smp-upernet": {"encoder": "tu-test_resnet", "channels": 8},
    "generator/smp-segformer": {"encoder": "tu-test_resnet", "channels": 8},
    "generator/smp-dpt": {"encoder": "tu-test_vit", "stages": [8, 8, 8, 8], "channels": 8},
    "discriminator/lsgan-patch": {"width": 8},
    "discriminator/patchgan": {"width": 8},
    "discriminator/multiscale": {"width": 8},
    "discriminator/unet-discriminator": {"width": 8},
    "loss/hole": {"inner": {"name": "mse"}},
    "loss/perceptual": {"backbone": "test_resnet"},
}

# What can't be built here, and why: its own tests make the file that it needs.
ELSEWHERE = {"generator/spandrel": "weights"}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "weights"])
def test_the_catalog_is_not_empty(kind):
    assert CATALOG.entries(kind)


@pytest.mark.parametrize("entry", CATALOG.entries(), ids=lambda entry: f"{entry.kind}/{entry.spec.name}")
def test_conforms(entry):
    name = f"{entry.kind}/{entry.spec.name}"
    checks = check_component(entry, SMALL.get(name), CATALOG)
    assert not [check for check in checks if check.status == "failed"], "\n" + table({name: checks})
    untried = [check.detail for check in checks if check.name == "build" and check.status == "noted"]
    if name in ELSEWHERE:
        assert untried == [f"needs params: {ELSEWHERE[name]}; check it by assert_conforms(spec, {ELSEWHERE[name]}=…)"]
    else:
        assert not untried
        assert len(checks) >= 4


@pytest.mark.parametrize("record", CATALOG.plugins, ids=lambda record: record.name)
def test_the_plugin_loads_nothing_heavy(record):
    assert loads(record).status == "ok" or record.status == "disabled", record.cause
    assert light(record.source).status == "ok", light(record.source).detail
