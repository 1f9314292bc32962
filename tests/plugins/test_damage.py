"""The bundle `damage`: the simulated damage, the sums along lines, the detector, and the commands that use it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from commands import invoke, invoke_error
from pictures import smooth
from toolbox_plugins.damage import detector as detectors
from toolbox_plugins.damage import network as network_module
from toolbox_plugins.damage import selection
from toolbox_plugins.damage.artefacts import read_artefacts
from toolbox_plugins.damage.lookalikes import DRAWERS
from toolbox_plugins.damage.simulate import KINDS, MIN_CHANGE, lay_damage
from toolbox_plugins.damage.tracer import CHANNELS, LENGTHS, trace

import benchmarks
import toolbox
from benchmarks.common.damage_figures import compare, draw_labels
from toolbox import Detection, DetectorSpec
from toolbox.color import integer_luma
from toolbox.data import sample
from toolbox.hooks import catalog as catalogs
from toolbox.imaging import io
from toolbox.inference.damage import find_damage
from toolbox.inference.detectors import damage_detector
from toolbox.masks import kinds_of_damage

CATALOG = catalogs.load(third_party=False)


def gray(height=96, width=128):
    return integer_luma(smooth(height, width))


def torn(size=256):
    """A smooth photograph with a white torn corner and a black scratch."""
    image = integer_luma(smooth(size, size))
    cv2.fillPoly(image, [np.array([[0, 0], [90, 0], [60, 30], [40, 34], [0, 80]])], 255)
    cv2.line(image, (100, 250), (240, 20), 0, 2)
    return image


@pytest.fixture(scope="module")
def detect():
    return damage_detector({"sensitivity": 0.6}, CATALOG)


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_labelled_where_it_changes_the_photograph(kind):
    image = gray()
    labelled = 0
    for seed in range(8):
        damaged, labels = lay_damage(image, np.random.default_rng(seed), kinds=(kind,))
        again, same = lay_damage(image, np.random.default_rng(seed), kinds=(kind,))
        assert np.array_equal(damaged, again) and np.array_equal(labels, same)
        assert set(np.unique(labels)) <= {0, KINDS.index(kind) + 1}
        # One object after another may be painted, so only the rounding and the sum of two can be below the limit.
        change = np.abs(damaged.astype(int) - image)[labels > 0]
        labelled += len(change)
        assert not len(change) or np.median(change) >= MIN_CHANGE - 1
    assert labelled


@pytest.mark.parametrize("draw", DRAWERS[::2], ids=lambda draw: draw.__name__)
def test_a_lookalike_changes_the_photograph_and_keeps_its_size(draw):
    image = gray()
    changed = [draw(image.copy(), np.random.default_rng(seed)) for seed in range(4)]
    assert all(each.shape == image.shape and each.dtype == np.uint8 for each in changed)
    assert any((each != image).any() for each in changed)


def test_held_out_artefacts_are_not_those_of_the_training(shared):
    train, test = (read_artefacts(shared / "damage", remainders=part) for part in ((0,), (9,)))
    assert {mask.tobytes() for mask in train.masks["stain"]}.isdisjoint(mask.tobytes() for mask in test.masks["stain"])
    assert len(train.masks["scratch"]) == 54 and len(test.outlines["dust"]) > 500


@pytest.mark.parametrize("slope", [-1.0, -0.4, 0.0, 0.7])
def test_a_faint_line_in_noise_stands_out_in_the_trace(slope):
    image = 0.5 + np.random.default_rng(0).normal(0, 0.03, (128, 128)).astype(np.float32)
    rows = np.arange(128)
    columns = np.rint(64 + slope * (rows - 64)).astype(int).clip(0, 127)
    image[rows, columns] += 0.04
    channels = trace(image)
    assert channels.shape == (CHANNELS, 128, 128)
    light = channels[2 * LENGTHS.index(64)]
    on_line = light[40:88][np.arange(48), columns[40:88]]
    assert on_line.mean() > np.percentile(light, 97)
    # The transposed photograph has the same lines in the other half of the channels.
    assert np.allclose(
        trace(np.ascontiguousarray(image.T))[CHANNELS // 2 :], channels[: CHANNELS // 2].transpose(0, 2, 1)
    )


def test_the_trace_is_the_mean_of_ridges_along_lines():
    """Straight lines of 16 pixels down the picture, added up one by one; integers are exact to half a unit."""
    image = cv2.GaussianBlur(np.random.default_rng(3).random((40, 50), np.float32), (0, 0), 0.8)
    ridges = cv2.GaussianBlur(image, (5, 1), 0.8, sigmaY=0.01) - cv2.GaussianBlur(image, (19, 1), 4.5, sigmaY=0.01)
    ridges = np.clip(ridges / (cv2.blur(np.abs(ridges), (31, 31)) + 0.004), -4, 4)
    light, dark = trace(image)[:2]
    for row, column in ((8, 0), (20, 25), (31, 49)):
        straight = ridges[row - 8 : row + 8, column].mean()
        assert dark[row, column] - 0.01 <= straight <= light[row, column] + 0.01
    assert np.abs(light).max() < 4 and (light >= dark).all()


def test_folded_normalizations_change_nothing():
    import torch

    network = network_module.DamageNet().eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
            torch.nn.init.normal_(module.running_mean)
    inputs = torch.rand(1, 1, 64, 64), torch.rand(1, CHANNELS, 32, 32)
    with torch.inference_mode():
        before = network(*inputs)
        network_module.fold_norms(network)
        after = network(*inputs)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
    assert before.std() > 1e-3 and torch.allclose(before, after, atol=1e-4 * float(before.abs().max()))


def test_a_weak_group_counts_only_with_a_certain_pixel():
    found = np.zeros((5, 20, 20), np.float32)
    tear = KINDS.index("tear")
    found[tear, 3, 3:10], found[tear, 12, 3:10] = 0.6, 0.6
    found[tear, 12, 5] = 0.99
    mask = selection.select(found, KINDS, 0.5)
    assert mask[12].sum() == 7 and mask.sum() == 7
    assert not selection.select(found, ("scratch",), 0.5).any()
    assert selection.select(found, KINDS, 1.0).sum() == 14 and not selection.select(found, KINDS, 0.0).any()


def test_a_picture_that_is_damaged_everywhere_gives_no_warning():
    with np.errstate(all="raise"):
        assert selection.select(np.full((len(KINDS), 8, 8), 0.9 / len(KINDS), np.float32), KINDS, 1.0).shape == (8, 8)


def test_a_weak_line_counts_where_other_damage_is_certain():
    """A print with one scratch probably has more; a sound photograph with one doubtful line has none."""
    found = np.zeros((5, 40, 40), np.float32)
    found[KINDS.index("scratch"), 5, 3:30] = 0.6
    assert not selection.select(found, KINDS, 0.5).any()
    found[KINDS.index("fold"), 20:23, :] = 0.95
    mask = selection.select(found, KINDS, 0.5)
    assert mask[5, 3:30].all() and mask[20:23].all() and mask.sum() == 27 + 3 * 40


def test_some_kinds_are_a_part_of_all_that_is_found():
    """A scratch that only its fold's half makes certain was not found if only scratches were asked for."""
    found = np.zeros((5, 80, 80), np.float32)
    scratch, fold, dust, stain, tear = (KINDS.index(kind) for kind in ("scratch", "fold", "dust", "stain", "tear"))
    found[scratch, 5:8, 3:70], found[fold, 5:8, 3:70] = 0.55, 0.4
    found[fold, 20:23, 3:70], found[scratch, 20:23, 3:70] = 0.6, 0.3
    found[stain, 40:50, 10:30], found[dust, 40:50, 10:30] = 0.5, 0.3
    found[dust, 60, 60] = 0.5
    found[tear, 70, 3:10] = 0.5  # not likely enough
    everything = selection.select(found, KINDS, 0.5)
    assert everything[5:8, 3:70].all() and everything[20:23, 3:70].all() and everything[40:50, 10:30].all()
    assert everything[60, 60] and not everything[70].any()
    parts = [selection.select(found, (kind,), 0.5) for kind in KINDS]
    assert np.array_equal(np.sum(parts, 0), everything)
    rows = {"scratch": 5, "fold": 20, "dust": 60, "stain": 40}
    assert all(selection.select(found, (kind,), 0.5)[row].any() for kind, row in rows.items())
    assert np.array_equal(selection.select(found, ("fold", "stain"), 0.5), parts[fold] | parts[stain])


def test_kinds_that_are_often_confused_are_certain_together():
    """A pixel that is a scratch or a fold, nobody knows which, is damage; so is one that is a fleck or a stain."""
    scratch, fold, dust, stain = (KINDS.index(kind) for kind in ("scratch", "fold", "dust", "stain"))
    for first, second in ((scratch, fold), (dust, stain)):
        found = np.zeros((5, 60, 60), np.float32)
        found[first, 10:14, 5:50], found[second, 10:14, 5:50] = 0.5, 0.45
        assert selection.select(found, KINDS, 0.5).sum() == 4 * 45
        assert selection.select(found, (KINDS[first],), 0.5).sum() == 4 * 45
        assert not selection.select(found, (KINDS[second],), 0.5).any()
        # One pixel of a doubtful group is not enough.
        found[first, 10:14, 5:50], found[second, 10:14, 5:50] = 0.3, 0.25
        found[first, 12, 12] = 0.7
        assert not selection.select(found, KINDS, 0.5).any()
    across = np.zeros((5, 60, 60), np.float32)
    across[scratch, 10:14, 5:50], across[dust, 10:14, 5:50] = 0.5, 0.45
    assert not selection.select(across, KINDS, 0.5).any()


def test_a_long_line_may_be_less_certain_than_a_short_one_or_a_wide_area():
    fold = KINDS.index("fold")
    for place in ((slice(10, 12), slice(10, 30)), (slice(50, 80), slice(10, 50))):
        found = np.zeros((5, 100, 100), np.float32)
        found[fold][place] = 0.63
        found[fold, place[0].start, 20] = 0.87
        assert not selection.select(found, KINDS, 0.5).any()
    found = np.zeros((5, 100, 100), np.float32)
    found[fold, 10:12, 10:60] = 0.63
    found[fold, 10, 20] = 0.87
    assert selection.select(found, KINDS, 0.5).sum() == 2 * 50


def test_several_doubtful_lines_are_certain_together():
    """One or two short lines that may be scratches are in many sound photographs; a bundle of them is damage."""
    found = np.zeros((5, 100, 100), np.float32)
    scratch = KINDS.index("scratch")
    for row in (10, 20):
        found[scratch, row, 10:20] = 0.77
    assert not selection.select(found, KINDS, 0.5).any()
    found[scratch, 30, 10:20] = 0.77
    assert selection.select(found, KINDS, 0.5).sum() == 30
    assert not selection.select(found, ("dust",), 0.5).any()
    found[scratch, 10:31, 10:20] = 0
    found[KINDS.index("fold"), 50, 10:20] = found[KINDS.index("fold"), 60, 10:20] = 0.82
    assert selection.select(found, KINDS, 0.5).sum() == 20


def test_a_large_uncertain_group_of_dust_is_texture():
    """Leaves, gravel and fabric look like dust; a large fleck that is certain, or a fold of the size, is damage."""
    found = np.zeros((5, 200, 200), np.float32)
    dust, fold = KINDS.index("dust"), KINDS.index("fold")
    found[dust, 20:26, 20:26], found[dust, 20:35, 60:75], found[dust, 60:75, 60:75] = 0.95, 0.95, 0.6
    found[dust, 65, 65], found[fold, 100:104, 20:180] = 0.95, 0.95
    mask = selection.select(found, KINDS, 0.5)
    assert mask[20:26, 20:26].all() and mask[20:35, 60:75].all() and mask[100:104, 20:180].all()
    assert not mask[60:75, 60:75].any()


def test_a_photograph_and_its_mirror_image_have_the_same_damage():
    detect = damage_detector({}, CATALOG)
    image = torn()[:, :-3]
    here, mirrored = detect(image), detect(np.ascontiguousarray(image[:, ::-1]))
    assert here.mask.any() and np.array_equal(here.mask, mirrored.mask[:, ::-1])
    for kind, probability in here.probabilities.items():
        assert np.allclose(probability, mirrored.probabilities[kind][:, ::-1], atol=1e-5)


def test_the_faint_streak_of_a_real_print_is_found(shared):
    """With the default; it is seven levels lighter than the sky. Figures and the other prints: docs/damage.md."""
    name = "stains_boat.png"
    labels = json.loads((Path(benchmarks.__file__).parent / "print_damage.json").read_text("utf-8"))["prints"][name]
    gray = integer_luma(io.read_rgb(shared / "corpora" / "old-prints" / name))
    streak = draw_labels(gray.shape, labels)["fold"]
    mask = damage_detector({}, CATALOG)(gray).mask
    assert mask[streak].mean() > 0.5 and mask.mean() < 2 * streak.mean()


def test_sound_photographs_are_left_alone():
    """At most one of eight sharp photographs gets more than 0.5 % of its pixels marked; leaves had up to 13 %."""
    detect = damage_detector({}, CATALOG)
    paths = io.find_images(sample.folder() / "photos")
    names = ("red-cliff", "lone-tree", "forest-waterfall", "spices", "waterfall", "welder", "bonsai", "lit-corridor")
    marked = [float(detect(integer_luma(io.read_rgb(path))).mask.mean()) for path in paths if path.stem in names]
    assert len(marked) == len(names) and sum(share > 0.005 for share in marked) <= 1 and np.mean(marked) < 0.002


def test_the_detector_finds_a_torn_corner_and_a_scratch(detect):
    image = torn()
    mask = detect(image).mask
    assert mask[2:30, 2:30].mean() > 0.8
    assert mask[100:220, :60].mean() < 0.02
    fractions = kinds_of_damage.shares(detect(image))
    assert sum(fractions.values()) == pytest.approx(mask.mean()) and set(fractions) <= set(KINDS)


def test_a_large_photograph_is_searched_at_a_smaller_size(detect, monkeypatch):
    monkeypatch.setattr(detectors, "MAX_PIXELS", 128 * 128)
    detection = detect(torn())
    assert detection.mask.shape == (256, 256) and all(
        each.shape == (256, 256) for each in detection.probabilities.values()
    )
    assert detection.mask[2:30, 2:30].mean() > 0.8 and detection.mask[100:220, :60].mean() < 0.02


def test_the_mask_command_writes_kinds_in_colours(tmp_path):
    io.write_png(tmp_path / "old.png", torn())
    words = ["mask", tmp_path / "old.png", "-o", tmp_path / "masks", "--damage", "--kinds", "tear"]
    record = json.loads(invoke(*words, "--json").stdout)[0]
    mask = io.read_mask(tmp_path / "masks" / "old.png")
    assert list(record["damage"]) == ["tear"] and record["lost"] == mask.mean() > 0.02
    painted = io.read_rgb(tmp_path / "masks" / "old.damage.png")
    assert (painted[mask] == kinds_of_damage.COLORS[KINDS.index("tear")]).all()
    assert "needs --damage" in invoke_error("mask", tmp_path / "old.png", "-o", tmp_path / "x", "--kinds", "tear")
    assert "Did you mean 'tear'" in invoke_error(*words[:-1], "teer", "--overwrite")


def test_repair_fills_damage_and_nothing_changes_without_it(tmp_path):
    image = torn()
    io.write_png(tmp_path / "old.png", image)
    words = ["restore", tmp_path / "old.png", "--device", "cpu", "--mask", "none"]
    assert "damage:" not in invoke(*words, "-o", tmp_path / "plain").output
    assert "damage: tear" in invoke(*words, "-o", tmp_path / "repaired", "--repair").output
    plain, repaired = (integer_luma(io.read_rgb(tmp_path / name / "old.png")) for name in ("plain", "repaired"))
    assert np.array_equal(plain, image)
    mask = find_damage(image, damage_detector(True, CATALOG), np.zeros(image.shape, bool)).mask
    assert np.array_equal(repaired[~mask], image[~mask]) and (repaired[5:25, 5:25] < 250).all()
    assert np.array_equal(integer_luma(toolbox.restore(image, "none", repair=True, device="cpu")), repaired)


def test_stains_are_lifted_but_not_where_a_person_marked_them(detect):
    """Of what is found, groups of translucent kinds alone are lifted; what is marked already stays lost."""
    probabilities = {kind: np.zeros((80, 100), np.float32) for kind in KINDS}
    probabilities["stain"][10:40, 10:40], probabilities["dust"][60:64, 60:64] = 0.9, 0.9
    found = Detection(mask=sum(probabilities.values()) > 0.5, probabilities=probabilities)
    marked = np.zeros((80, 100), bool)
    marked[:20] = True
    damage = find_damage(gray()[:80, :100], replace(detect, detect=lambda image: found), marked)
    assert damage.mask[found.mask | marked].all() and damage.mask[64, 61] and not damage.mask[50, 50]
    assert damage.stains[22:40, 10:40].all() and not damage.stains[:20].any() and not damage.stains[55:].any()


def test_a_translucent_kind_is_one_that_the_detector_finds():
    with pytest.raises(ValueError, match="translucent has foxing; add it to kinds"):
        DetectorSpec(name="x", summary="X", build=lambda params: None, kinds=("stain",), translucent=("foxing",))


def test_where_no_damage_is_found_the_remedy_is_a_mask(tmp_path):
    io.write_png(tmp_path / "sound.png", gray())
    output = invoke("restore", tmp_path / "sound.png", "-o", tmp_path / "out", "--device", "cpu", "--repair").output
    assert "No lost region was found in 1 of 1. Mark damage with --mask." in output


def test_precision_and_recall_have_a_tolerance():
    there, found = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    there[10, 2:12], found[12, 2:12], found[0, 0] = True, True, True
    figures = compare(found, there).figures()
    assert figures["recall"] == 1.0 and figures["precision"] == pytest.approx(10 / 11, abs=1e-4)
    labels = [
        {"kind": "fold", "points": [[1, 1], [8, 1]], "width": 1},
        {"kind": "dust", "points": [[9, 9]], "radius": 2},
    ]
    masks = draw_labels((20, 20), labels)
    assert masks["fold"].sum() == 8 and masks["dust"][9, 11] and not masks["dust"][9, 12]


def test_published_weights_of_a_detector_have_a_path():
    path = toolbox.weights_path("print-damage")
    assert path.stat().st_size < 6e6
    with pytest.raises(toolbox.errors.UsageError, match="not known"):
        toolbox.weights_path("print-damages")


def test_kinds_may_be_text_as_on_the_command_line():
    """It was read letter by letter: "kind of damage 's' is not known"."""
    photo = np.full((64, 64), 90, np.uint8)
    as_text, as_list = (damage_detector({"kinds": kinds}, CATALOG) for kinds in ("scratch, dust", ["scratch", "dust"]))
    assert np.array_equal(as_text.detect(photo).mask, as_list.detect(photo).mask)
    with pytest.raises(toolbox.errors.UsageError, match="'scrtch' is not known"):
        damage_detector({"kinds": "scrtch"}, CATALOG)
