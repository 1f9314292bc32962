"""Binding: every param typed, every fault at once, and the bound recipe binds to itself."""

from __future__ import annotations

import pytest
from catalogs import default_catalog

from toolbox.config import recipe
from toolbox.config.binding import bind
from toolbox.errors import RecipeError


@pytest.fixture(scope="module")
def catalog():
    return default_catalog()


def bound(catalog, *overrides, name="default", sample=False):
    return bind(recipe.read(name, lambda known: catalog.recipe(known).path, overrides, sample=sample), catalog)


def faults(catalog, *overrides, name="default"):
    with pytest.raises(RecipeError) as caught:
        bound(catalog, *overrides, name=name)
    return {fault.location: fault.message for fault in caught.value.faults}


def test_default_is_the_published_setup_as_its_write_up_means_it(catalog):
    plan = bound(catalog)
    assert {loss.label: loss.options.weight for loss in plan.losses} == {"lsgan": 1, "mse": 50, "ssim": 50}
    assert {penalty.label: penalty.options.weight for penalty in plan.penalties} == {"gradient": 10}
    assert (plan.settings.training.epochs, plan.settings.training.batch, plan.settings.data.size) == (50, 8, 512)
    split = plan.settings.split
    assert (split.method, split.seed, split.validation) == ("random", 42, 0.2)
    assert (split.train_limit, split.validation_limit) == (10_000, 3_000)
    attached = {"generator": plan.generator.attached, "discriminator": plan.discriminator.attached}
    optimizers = {key: components["optimizer"] for key, components in attached.items()}
    schedules = {key: components["schedule"].params for key, components in attached.items()}
    assert {k: v.spec.name for k, v in optimizers.items()} == {"generator": "adamw", "discriminator": "adamw"}
    assert {k: v.params.lr for k, v in optimizers.items()} == {"generator": 1e-4, "discriminator": 1e-4}
    assert {k: v.params.betas for k, v in optimizers.items()} == {
        "generator": (0.5, 0.9),
        "discriminator": (0.5, 0.999),
    }
    reductions = {k: (v.every, v.factor) for k, v in schedules.items()}
    assert reductions == {
        "generator": (10, 0.5),
        "discriminator": (15, 0.5),
    }
    assert plan.warnings == ()


def test_published_differs_by_its_defects_and_limits_alone(catalog):
    ours, theirs = bound(catalog).tree(), bound(catalog, name="published").tree()
    assert theirs["losses"]["ssim"] == ours["losses"]["ssim"] | {"window": "volume", "detach": True}
    assert theirs["split"] == ours["split"] | {"train_limit": 0, "validation_limit": 0}
    assert theirs["validation"] == ours["validation"] | {"submit_every": 1}
    changed = {key for key in ours if ours[key] != theirs[key]}
    assert changed == {"losses", "split", "validation", "summary"}


def test_all_faults_at_once_each_with_place_choices_and_nearest_name(catalog):
    found = faults(
        catalog,
        "generator.optimizer.lr=-1",
        "generator.schedule.evry=3",
        "generator.widht=3",
        "losses.ssim.side=0",
        "losses.ssim.window=volum",
        'losses.mse.weight="5"',
        "losses.l2.weight=1",
        "sampel.x=1",
        "training.precision=fp8",
        "data.size=3.5",
        "discriminator.name=lsgan-path",
        "split.train_limit=-1",
        "penalties=3",
    )
    assert "greater than 0" in found["generator.optimizer.lr"]
    assert "Did you mean 'every'?" in found["generator.schedule.evry"]
    assert "Did you mean 'width'?" in found["generator.widht"]
    assert "greater than or equal to" in found["losses.ssim.side"]
    assert "'per-channel' or 'volume'" in found["losses.ssim.window"]
    assert found["losses.mse.weight"] == "is '5'; it must be a number"
    assert "Loss 'l2' is not known" in found["losses.l2"] and "Known: lsgan, mse, ssim" in found["losses.l2"]
    assert "Did you mean 'sample'?" in found["sampel"]
    assert "'fp32'" in found["training.precision"]
    assert found["data.size"] == "is 3.5; it must be a whole number"
    assert "Did you mean 'lsgan-patch'?" in found["discriminator.name"]
    assert "greater than or equal to 0" in found["split.train_limit"]
    assert "not a table" in found["penalties"]
    assert len(found) == 13


def test_another_optimizer_is_refused_by_its_own_params(catalog):
    assert (
        "momentum"
        in faults(catalog, "generator.optimizer.name=sgd", "generator.optimizer.betas=[0.1, 0.2]")[
            "generator.optimizer.betas"
        ]
    )
    found = faults(catalog, "generator.optimizer.name=lion", "discriminator.schedule.name=cosin")
    assert "Optimizer 'lion' is not known." in found["generator.optimizer.name"]
    assert "Known: adam, adamw, sgd" in found["generator.optimizer.name"]
    assert "Did you mean 'cosine'?" in found["discriminator.schedule.name"]


def test_optimizers_and_schedules_have_their_own_options(catalog):
    plan = bound(catalog, "generator.clip_norm=2", "generator.schedule.warmup_steps=5")
    assert plan.generator.options.clip_norm == 2 and plan.discriminator.options.clip_norm is None
    assert plan.generator.attached["schedule"].options.warmup_steps == 5
    # Another schedule drops the params of the inherited one, not the warm-up.
    other = bound(catalog, "generator.schedule.warmup_steps=5", "generator.schedule.name=cosine")
    assert other.tree()["generator"]["schedule"] == {"name": "cosine", "final": 0.0, "warmup_steps": 5}
    found = faults(
        catalog, "generator.optimizer.enabled=false", "generator.schedule.warmup_steps=0", "generator.clip_norm=0"
    )
    assert "is not a key of optimizer 'adamw'" in found["generator.optimizer.enabled"]
    assert {"generator.schedule.warmup_steps", "generator.clip_norm"} < found.keys()


@pytest.mark.parametrize(
    ("overrides", "place"),
    [
        (["discriminator.enabled=false"], "losses.lsgan"),
        (["discriminator.enabled=false"], "penalties"),
        (["losses.mse.on=gray"], "losses.mse.on"),
        (["losses.mse.enabled=false", "losses.ssim.enabled=false", "losses.lsgan.enabled=false"], "losses"),
    ],
)
def test_components_that_do_not_fit_together_are_faults(catalog, overrides, place):
    assert place in faults(catalog, *overrides)


def test_a_discriminator_that_nothing_uses_is_a_warning(catalog):
    plan = bound(catalog, "losses.lsgan.enabled=false")
    assert plan.warnings == ("discriminator: no adversarial loss uses it, so it does not train",)


def test_losses_without_weight_are_a_warning(catalog):
    zeros = [f"losses.{label}.weight=0" for label in ("lsgan", "mse", "ssim")]
    assert bound(catalog, *zeros[:2]).warnings == ()
    assert bound(catalog, *zeros).warnings == ("losses: all weights are 0, so no loss trains the generator",)


@pytest.mark.parametrize("sample", [False, True])
def test_the_bound_recipe_binds_to_itself(catalog, sample):
    plan = bound(catalog, "generator.width=8", name="published", sample=sample)
    again = recipe.Recipe(name="published", tree=recipe.parse(recipe.dump(plan.tree()), "bound"))
    assert bind(again, catalog).tree() == plan.tree()


def test_a_recipe_that_needs_an_absent_plugin_names_it_and_where_it_is_from(catalog):
    found = faults(catalog, "requires.my-losses='my-losses 1.2'", "losses.fancy.weight=1")
    assert "'my-losses' (my-losses 1.2)" in found["losses.fancy"]


def test_a_misspelt_label_of_a_component_that_is_disabled_is_a_fault(catalog):
    """The line was accepted, and the component stayed."""
    found = faults(catalog, "penalties.gradiant.enabled=false", "losses.adversarial.enabled=false")
    assert "is disabled, and the recipe has none of this label. Penalty 'gradiant' is" in found["penalties.gradiant"]
    assert "Did you mean 'gradient'?" in found["penalties.gradiant"] and "losses.adversarial" in found
    assert [term.label for term in bound(catalog, "penalties.gradient.enabled=false").penalties] == []
    # Those of another name, and those of a plugin that may be missing.
    custom = (
        "losses.mine.name=mse",
        "losses.mine.enabled=false",
        "losses.other.weight=2",
        "losses.other.enabled=false",
    )
    assert {loss.label for loss in bound(catalog, *custom).losses} == {"lsgan", "mse", "ssim"}
    with pytest.raises(RecipeError, match="theirs") as caught:
        bound(catalog, "requires.theirs='theirs 1.0'", "metrics.theirs.weight=1")
    assert caught.value.faults
    bound(catalog, "requires.theirs='theirs 1.0'", "metrics.theirs.enabled=false")


def test_an_empty_recipe_says_what_is_missing(catalog):
    with pytest.raises(RecipeError) as caught:
        bind(recipe.Recipe(name="empty", tree={}), catalog)
    assert "generator: is missing. Known: inpainting-unet" in str(caught.value)


@pytest.mark.parametrize("key", ["training.epochs", "training.steps", "seed", "generator.width", "losses.mse.weight"])
def test_numbers_of_more_than_64_bits_are_faults(catalog, key):
    assert faults(catalog, f"{key}=1{'0' * 26}") == {key: "is a number of more than 64 bits"}
    assert faults(catalog, f"{key}=-{2**63 + 1}") == {key: "is a number of more than 64 bits"}
