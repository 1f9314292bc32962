"""Labels of damage from the degradation to the batch, and the training step that uses them. Some 6 s."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from distributed_cases import SilentConsole
from labelled_damage import KINDS, labelled_catalog, labelled_plan, labelled_recipe, scratch, without
from runs import records

import toolbox.steps
from toolbox import DegradationSpec, Sample
from toolbox.config.binding import bind
from toolbox.data import folders
from toolbox.data.loader import Samples, Stream, iterate_batches
from toolbox.diagnostics import replay_step
from toolbox.diagnostics.trial_step import try_step
from toolbox.distributed.accelerator import make_accelerator
from toolbox.errors import DataError, PluginError, RecipeError, WeightsError
from toolbox.hooks.blame import WrongResultError
from toolbox.hooks.catalog import Entry
from toolbox.inference.loading import load_restorer
from toolbox.models.array_calls import DegradationCall
from toolbox.models.samples import sample_recipe
from toolbox.models.weights import load_network
from toolbox.training import nonfinite, state
from toolbox.training.checkpoint import Progress
from toolbox.training.launch import RunRequest, prepare_run
from toolbox.training.step import take_steps
from toolbox.training.step_metrics import NonFiniteError

PHOTO = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)


@pytest.fixture(scope="module")
def catalog():
    return labelled_catalog()


def call(function, role="damage", kinds=()):
    spec = DegradationSpec(name="rigged", summary="rigged", role=role, kinds=kinds, build=lambda params: function)
    return DegradationCall(
        entry=Entry(kind="degradation", spec=spec, plugin="p", distribution="", version=""), component=function
    )


def undamaged():
    return Sample(image=PHOTO.copy(), mask=np.zeros(PHOTO.shape[:2], bool), truth=PHOTO)


def train(catalog, folder, photos, *settings, **request):
    """Train the recipe of segmentation, or continue the run in `folder`; return the result."""
    if "resume" not in request:
        request |= {"recipe": labelled_recipe(*settings), "out": folder, "data": photos}
    console = SilentConsole()
    prepared = prepare_run(RunRequest(catalog=catalog, device="cpu", **request), console)
    return prepared.start(console)


# ---- samples and batches


def test_a_later_damage_adds_to_the_labels_and_need_not_know_them():
    first = call(scratch, kinds=KINDS)(undamaged(), np.random.default_rng(1))

    def corner(sample, random):
        label = np.zeros(sample.mask.shape, bool)
        label[:3, :3] = True
        return Sample(image=sample.image, mask=sample.mask | label, truth=sample.truth, labels={"stain": label})

    both = call(corner, kinds=("stain",))(first, np.random.default_rng(1))
    assert np.array_equal(both.labels["scratch"], first.labels["scratch"])
    assert both.labels["stain"][:3, :3].all() and (both.labels["stain"] >= first.labels["stain"]).all()


@pytest.mark.parametrize(
    ("role", "kinds", "labels", "fault"),
    [
        ("damage", ("scratch",), {}, "without labels of 'scratch'"),
        ("damage", (), {"tear": np.zeros((24, 24), bool)}, "labels of 'tear', which is not among the kinds"),
        ("damage", ("scratch",), {"scratch": np.zeros((24, 24), np.uint8)}, "must be bool"),
        ("damage", ("scratch",), {"scratch": np.zeros((12, 24), bool)}, r"\[12, 24\]"),
        ("damage", ("scratch",), [1], "labels are a list, not a dict"),
        ("augment", (), {}, "change them as the mask"),
    ],
)
def test_labels_that_break_the_contract_are_refused(role, kinds, labels, fault):
    given = undamaged() if role == "damage" else scratch(undamaged(), np.random.default_rng(0))
    with pytest.raises(WrongResultError, match=fault):
        call(lambda sample, random: replace(sample, labels=labels), role, kinds)(given, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"kinds": ("Scratch",)}, "lower-case"),
        ({"kinds": ("scratch", "scratch")}, "twice"),
        ({"kinds": ("scratch",), "role": "augment"}, "is no damage"),
    ],
)
def test_kinds_that_are_not_valid_are_refused(fields, fault):
    with pytest.raises(ValueError, match=fault):
        DegradationSpec(name="rigged", summary="rigged", build=lambda params: scratch, **fields)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_the_labels_of_a_batch_follow_the_pictures(catalog, photos, workers, layout):
    recipe = sample_recipe(labelled_plan("degradations.flip.horizontal=1.0", catalog=catalog))
    samples = Samples(items=folders.open_folder(photos).items, recipe=recipe, stream=Stream.TRAIN)
    keys = [[(0, 0), (0, 1)], [(1, 2), (1, 3)]]
    for batch in iterate_batches(samples, keys, workers, torch.device("cpu"), memory_format=layout):
        assert batch.kinds == KINDS and batch.labels.shape == (2, 2, 32, 32)
        assert batch.labels.is_contiguous(memory_format=layout)
        # A scratch is white and a stain a third as bright; both are marked in the mask, and nothing else.
        assert torch.equal(batch.labels.amax(1, keepdim=True), batch.mask)
        scratched = batch.labels[:, :1].expand_as(batch.image) > 0
        assert (batch.image[scratched] == 250 / 255).all()
        known = (batch.mask == 0).expand_as(batch.image)
        assert torch.equal(batch.image[known], batch.truth[known])


def test_without_kinds_there_are_no_labels(catalog, photos):
    recipe = replace(sample_recipe(labelled_plan(catalog=catalog)), damage=(), augment=())
    samples = Samples(items=folders.open_folder(photos).items, recipe=recipe, stream=Stream.TRAIN)
    (batch,) = iterate_batches(samples, [[(0, 0)]], 0, torch.device("cpu"))
    assert batch.labels is None and batch.kinds == ()


# ---- recipes


@pytest.mark.parametrize(
    ("settings", "location", "fault"),
    [
        (["degradations.scratches.enabled=false"], "degradations", "give no labels"),
        (["validation.choose_by=psnr"], "validation.choose_by", "Known: score, loss, f1, iou"),
        (["metrics.psnr.enabled=true"], "metrics.psnr", "restores none"),
        (["losses.mse.enabled=true"], "losses.mse", "restores none"),
        (["discriminator.name=lsgan-patch"], "discriminator", "restores none"),
        (["step.cross_entropy=0", "step.dice=0"], "step", "nothing would train"),
    ],
)
def test_what_does_not_fit_a_step_that_restores_nothing_is_a_fault(catalog, settings, location, fault):
    with pytest.raises(RecipeError) as raised:
        labelled_plan(*settings, catalog=catalog)
    assert [f.location for f in raised.value.faults] == [location] and fault in raised.value.faults[0].message


def test_a_network_that_restores_nothing_needs_such_a_step(catalog):
    recipe = without(labelled_recipe("losses.mse.enabled=true", "validation.choose_by=loss"), "step")
    with pytest.raises(RecipeError, match="needs a step for that"):
        bind(recipe, catalog)


def test_photographs_that_are_damaged_already_are_refused(catalog, competition, tmp_path):
    with pytest.raises(DataError, match="a damaged input without labels of its damage"):
        train(catalog, tmp_path / "run", competition)


def test_a_network_with_another_number_of_maps_is_named(catalog, photos, tmp_path):
    with pytest.raises(PluginError, match=r"Step 'segmentation'.* raised ValueError.*set generator.kinds = 2"):
        train(catalog, tmp_path / "run", photos, "generator.kinds=3")


def test_a_weight_of_a_kind_without_labels_is_named(catalog, photos, tmp_path):
    with pytest.raises(
        PluginError, match="kind_weights names stian, which no degradation labels; it labels scratch, st"
    ):
        train(catalog, tmp_path / "run", photos, "step.kind_weights.stian=3.0")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_losses_of_validation_are_computed_in_the_precision_of_the_weights(catalog, precision):
    plan = labelled_plan(f"training.precision={precision}", catalog=catalog)
    accelerator = make_accelerator("cpu", precision)
    built = state.build_state(plan, accelerator, torch.float32)
    image = torch.rand((2, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    batch = toolbox.steps.Batch(
        image=image,
        mask=image[:, :1] * 0,
        truth=image,
        names=("a", "b"),
        labels=(image[:, :2] > 0.5).float(),
        kinds=KINDS,
    )
    with accelerator.autocast(), torch.no_grad():
        values = built.step.validate(built.generator.network.eval(), batch)
        logits = built.generator.network(batch.image, batch.mask).float()
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, batch.labels, reduction="none").mean((2, 3))
    assert values["cross_entropy"].dtype is torch.float32
    assert torch.allclose(values["cross_entropy"], expected @ torch.tensor([1 / 3, 2 / 3]), rtol=1e-5)


def segmentation(**params):
    return toolbox.build("step", "segmentation", **params)


def random_batch():
    """Return logits (2, 3, 8, 12) and a batch (2, 3, 16, 24) in which each pixel has one of two kinds, or none."""
    random = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn((2, 3, 8, 12), generator=random, dtype=torch.float64)
    classes = torch.randint(0, 3, (2, 8, 12), generator=random)
    labels = torch.nn.functional.one_hot(classes, 3).permute(0, 3, 1, 2)[:, 1:].double()
    labels = labels.repeat_interleave(2, 2).repeat_interleave(2, 3)
    image = torch.zeros((2, 3, 16, 24), dtype=torch.float64)
    return (
        logits,
        classes,
        toolbox.steps.Batch(image=image, mask=image[:, :1], truth=image, names=("a", "b"), labels=labels, kinds=KINDS),
    )


def test_exclusive_kinds_have_the_cross_entropy_of_torch_at_the_size_of_the_maps():
    logits, classes, batch = random_batch()
    step = segmentation(exclusive=True, dice=0.0)
    expected = torch.nn.functional.cross_entropy(logits, classes, reduction="none").mean((1, 2))
    assert torch.allclose(step.losses(logits, batch)["loss"], expected)
    weights = {"kind_weights": {"stain": 3.0}, "positive_weight": 2.0}
    by_class = torch.tensor([1.0, 2 * 2 * 1 / 4, 2 * 2 * 3 / 4], dtype=torch.float64)
    expected = torch.stack(
        [
            torch.nn.functional.cross_entropy(each[None], c[None], by_class)
            for each, c in zip(logits, classes, strict=True)
        ]
    )
    assert torch.allclose(segmentation(exclusive=True, **weights).losses(logits, batch)["cross_entropy"], expected)
    focal = segmentation(exclusive=True, focal=2.0).losses(logits, batch)["cross_entropy"]
    right = logits.softmax(1).gather(1, classes[:, None])[:, 0]
    assert torch.allclose(focal, (-right.log() * (1 - right) ** 2).mean((1, 2)))


def test_the_focal_loss_is_that_of_torchvision():
    from torchvision.ops import sigmoid_focal_loss

    logits, _, batch = random_batch()
    labels = batch.labels[..., ::2, ::2]
    expected = sigmoid_focal_loss(logits[:, 1:], labels, alpha=-1, gamma=1.5).mean((1, 2, 3))
    assert torch.allclose(segmentation(focal=1.5).losses(logits[:, 1:], batch)["cross_entropy"], expected)


def test_figures_of_small_maps_are_counted_at_the_size_of_the_photographs():
    _, classes, batch = random_batch()
    perfect = 20 * torch.nn.functional.one_hot(classes, 3).permute(0, 3, 1, 2).double()
    step = segmentation(exclusive=True, threshold=0.5)
    values = step.validate(lambda image, mask: perfect, batch)
    assert torch.equal(values["labelled.stain"], batch.labels[:, 1].sum((1, 2)))
    assert (values["found.stain"] > 2 * values["labelled.stain"] / 3).all()
    with pytest.raises(ValueError, match="it needs 3 maps, one for no damage and each of scratch, stain"):
        step.validate(lambda image, mask: perfect[:, 1:], batch)


# ---- runs


@pytest.fixture(scope="module")
def finished(catalog, tmp_path_factory, module_photos):
    folder = tmp_path_factory.mktemp("runs") / "through"
    return train(catalog, folder, module_photos, "training.epochs=4"), folder


@pytest.fixture(scope="module")
def module_photos(tmp_path_factory):
    from toolbox.data import sample
    from toolbox.imaging import io

    folder = tmp_path_factory.mktemp("photos")
    for path in io.find_images(sample.folder() / "photos")[:6]:
        io.write_png(folder / f"{path.stem}.png", io.read_rgb(path)[:48, :64])
    return folder


def test_a_run_chooses_its_weights_by_its_own_figures(finished):
    result, folder = finished
    validations = [record["validation"] for record in records(folder) if "validation" in record]
    assert len(validations) == 4
    assert list(validations[0]) == ["loss", "cross_entropy", "dice", "f1", "iou", "f1.scratch", "f1.stain"]
    for values in validations:
        assert values["f1"] == pytest.approx((values["f1.scratch"] + values["f1.stain"]) / 2)
        assert values["loss"] == pytest.approx(values["cross_entropy"] + values["dice"])
    best = max(validations, key=lambda values: values["f1"])
    assert result.finished and dict(result.best.figures) == {n: v for n, v in best.items() if n != "loss"}
    assert result.scores == {f"this run, after step {result.best.step}": result.best.score}
    assert not list((folder / "previews").iterdir()) and not (folder / "submission.zip").exists()
    assert result.pixel_loss[1] < result.pixel_loss[0]
    report = (folder / "report.html").read_text("utf-8")
    assert "f1.scratch" in report and "Loss of a fixed validation batch" in report


def test_a_run_that_is_continued_is_the_same_to_the_bit(catalog, finished, module_photos, tmp_path):
    _, through = finished
    folder = tmp_path / "resumed"
    train(catalog, folder, module_photos, "training.epochs=4", "training.steps=3")
    recipe = labelled_recipe("training.epochs=4")
    result = train(catalog, folder, module_photos, resume=folder, recipe=recipe)
    assert result.finished

    def state_of(run):
        newest = max((run / "checkpoints").iterdir())
        return {path.name: path.read_bytes() for path in newest.glob("*.safetensors")}

    assert state_of(folder) == state_of(through)
    steps = [[r for r in records(run) if "g" in r] for run in (folder, through)]
    assert steps[0] == steps[1]
    weights = [load_network(run).network.state_dict() for run in (folder, through)]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_patience_ends_a_run_by_its_figures(catalog, module_photos, tmp_path):
    settings = ("training.epochs=9", "validation.patience=1", "generator.optimizer.lr=1e-12")
    result = train(catalog, tmp_path / "run", module_photos, *settings)
    assert result.steps == 4  # two epochs of two batches


def test_the_weights_load_into_a_detector_and_do_not_restore(catalog, finished, tmp_path):
    _, folder = finished
    with pytest.raises(WeightsError, match="restores no photographs"):
        load_restorer(folder, catalog=catalog)
    spec = catalog.find("generator", "segmentation-unet").spec
    for trained in (load_network(folder), load_network(folder / "best.safetensors", spec=spec)):
        assert trained.kinds == KINDS and not trained.network.training
        maps = trained.network(torch.rand(1, 3, 40, 36), torch.zeros(1, 1, 40, 36))
        assert maps.shape == (1, 2, 40, 36)
    other = replace(spec, name="another")
    with pytest.raises(WeightsError, match="segmentation-unet"):
        load_network(folder, spec=other)


def test_a_step_that_is_not_finite_is_replayed_with_its_labels(catalog, tmp_path):
    plan = labelled_plan("training.precision=fp64", catalog=catalog)
    accelerator = make_accelerator("cpu", "fp64")
    built = state.build_state(plan, accelerator, torch.float64)
    image = torch.rand((2, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = (image[:, :2] > 0.5).double()
    batch = toolbox.steps.Batch(
        image=image, mask=image[:, :1] * 0, truth=1 - image, names=("a", "b"), labels=labels, kinds=KINDS
    )
    image[1, 0, 3, 3] = torch.nan
    with pytest.raises(NonFiniteError) as raised:
        list(take_steps(built, [batch], accelerator, seed=3, first=0))
    hint = nonfinite.save_step_folder(tmp_path / "x", plan, built, raised.value, Progress(step=0), [(0, 0), (0, 1)])
    assert "`toolbox doctor` can replay it from" in hint
    (folder,) = (tmp_path / "x").iterdir()
    assert torch.equal(nonfinite.load_step_folder(folder, built).labels, labels)
    *_, last = replay_step.inspect_step(folder, built, accelerator)
    assert last.ok and "to the bit" in last.detail


def test_a_trial_step_has_labels(catalog):
    seconds, memory, _ = try_step(labelled_plan(catalog=catalog), "cpu")
    assert seconds > 0 and memory > 0
