"""The conformance kit on every component of every bundle that ships. About 25 s."""

from __future__ import annotations

import importlib.util
import warnings

import pytest

from toolbox.hooks import catalog
from toolbox.hooks.kinds import KINDS
from toolbox.testing import check_component, table
from toolbox.testing.components import KIND_CHECKS
from toolbox.testing.plugins import check_light_import, check_loading

CATALOG = catalog.load(third_party=False)

# Params for components whose defaults are large: the same code at a small size.
TINY_UNET = {"name": "inpainting-unet", "width": 4, "levels": 2}
SMP_UNET = {"encoder": "tu-test_resnet", "channels": [16, 8, 8, 4, 4]}
SMALL_PARAMS = {
    "generator/inpainting-unet": {"width": 4, "levels": 3},
    "generator/residual-unet": {"width": 4, "levels": 3},
    "generator/gated-unet": {"width": 4, "levels": 3},
    "generator/two-stage": {"gray": TINY_UNET, "color": TINY_UNET},
    "generator/timm-unet": {"backbone": "test_resnet", "decoder": [16, 8, 8, 4, 4]},
    "generator/smp-unet": SMP_UNET,
    "generator/smp-unetplusplus": SMP_UNET,
    "generator/smp-manet": SMP_UNET | {"attention_channels": 8},
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

# Components that need a file, by the param that names it. Their own tests make this file.
NEEDS_FILE = {"generator/spandrel": "weights"}
# Components that need the packages of an extra.
NEEDS_PACKAGES = {
    "observer/tensorboard": ["tensorboard"],
    "observer/wandb": ["wandb"],
    "observer/trackio": ["trackio"],
    "observer/mlflow": ["mlflow", "sqlalchemy"],
}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "weights"])
def test_the_catalog_is_not_empty(kind):
    assert CATALOG.entries(kind)


def test_every_kind_that_recipes_name_has_checks():
    assert {kind.name for kind in KINDS.values() if kind.table} <= KIND_CHECKS.keys()


@pytest.mark.parametrize("entry", CATALOG.entries(), ids=lambda entry: f"{entry.kind}/{entry.spec.name}")
def test_component_conforms(entry):
    name = f"{entry.kind}/{entry.spec.name}"
    for package in NEEDS_PACKAGES.get(name, ()):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"the package {package} is not installed")
    with warnings.catch_warnings():
        if name in NEEDS_PACKAGES:
            warnings.simplefilter("ignore")  # these libraries use what newer versions of others deprecate
        checks = check_component(entry, SMALL_PARAMS.get(name), CATALOG)
    assert not [check for check in checks if check.status == "failed"], "\n" + table({name: checks})
    unbuilt = [check.detail for check in checks if check.name == "build" and check.status == "noted"]
    if name in NEEDS_FILE:
        param = NEEDS_FILE[name]
        assert len(unbuilt) == 1 and unbuilt[0].startswith(f"needs params: {param}; check it with ")
        assert unbuilt[0].endswith(f"toolbox plugin check {name} --set {param}=…")
    else:
        assert not unbuilt
        assert len(checks) >= 4


# Plugins of the user's registry are disabled here.
OWN_PLUGINS = [record for record in CATALOG.plugins if record.status != "disabled"]


@pytest.mark.parametrize("record", OWN_PLUGINS, ids=lambda record: record.name)
def test_plugin_loads_without_heavy_imports(record):
    assert check_loading(record).status == "ok", record.cause
    assert check_light_import(record.source).status == "ok", check_light_import(record.source).detail
