"""Folds as scikit-learn's, scenes that stay together, a folder for validation, faults of the settings. 6 s."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from commands import invoke
from sklearn.model_selection import KFold

from toolbox.config.settings import Split
from toolbox.data import folders, split
from toolbox.data.sources import open_validation
from toolbox.errors import DataError, UsageError
from toolbox.imaging import io


@pytest.mark.parametrize(("count", "folds"), [(10, 5), (11, 4), (7, 2)])
def test_folds_are_those_of_scikit_learn(count, folds):
    expected = KFold(folds, shuffle=True, random_state=42).split(range(count))
    for fold, (train, validation) in enumerate(expected, 1):
        assert split.fold_split(range(count), folds=folds, fold=fold) == (train.tolist(), validation.tolist())


def test_scenes_stay_together_and_each_photograph_is_validated_once():
    labels = [0, 0, 0, 0, 1, 2, 2, 3, 3, 3, 4, 5]
    parts = [split.fold_split(labels, folds=3, fold=fold) for fold in (1, 2, 3)]
    assert sorted(index for _, validation in parts for index in validation) == list(range(12))
    for train, validation in parts:
        assert not {labels[index] for index in train} & {labels[index] for index in validation}
        assert sorted([*train, *validation]) == list(range(12))
        assert 3 <= len(validation) <= 5
    with pytest.raises(DataError, match="6 photographs or scenes can't be split into 7 folds"):
        split.fold_split(labels, folds=7, fold=1)


def test_a_split_with_nothing_to_train_on_is_refused(photos):
    items = folders.open_folder(photos).items
    with pytest.raises(DataError, match=r"split.validation = 0.95 leaves none of the 6 photographs to train on; lower"):
        split.split_items(items, Split(validation=0.95), print)


def test_photographs_of_one_scene_are_refused_by_name(photos, monkeypatch):
    monkeypatch.setattr(split, "scene_labels", lambda items, report: [0] * len(items))
    items = folders.open_folder(photos).items
    with pytest.raises(
        DataError, match="All [0-9]+ photographs show one scene, so none is left to validate. Add .*random"
    ):
        split.split_items(items, Split(method="scene"), print)
    assert split.split_items(items, Split(method="random"), print).validation


def plan_with(folder):
    """Return what `open_validation` reads of a plan."""
    return SimpleNamespace(source=None, settings=SimpleNamespace(split=Split(validation_data=str(folder))))


def test_a_folder_for_validation(photos, tmp_path, monkeypatch):
    # The first photograph of the folder is of the scene of the first one for training.
    monkeypatch.setattr(split, "scene_labels", lambda items, report: [*range(6), 0, 9][: len(items)])
    other = tmp_path / "other"
    other.mkdir()
    for index, path in enumerate(io.find_images(photos)[:2]):
        io.write_png(other / f"{index}.png", io.read_rgb(path)[::-1].copy() if index else io.read_rgb(path))
    items, extra = folders.open_folder(photos).items, open_validation(plan_with(other))
    made = split.split_items(items, Split(), print, extra)
    assert made.train == items and made.validation == extra
    assert made.leaks == 1
    (other / "1.png").unlink()
    assert [item.name for item in open_validation(plan_with(other))] == ["0.png"]
    limited = split.split_items(items, Split(train_limit=3), print, extra)
    assert len(limited.train) == 3 and len(limited.validation) == 2
    with pytest.raises(UsageError, match="split.validation_data .*nowhere: there is no such file or folder"):
        open_validation(plan_with(tmp_path / "nowhere"))


def test_a_run_validates_on_the_folder(photos, competition):
    options = ["run", "--data", photos, "--dry-run", "--device", "cpu", "--size", 32]
    output = invoke(*options, f"--set=split.validation_data={competition}").output
    assert "photos: 6 train, 6 validate, 0 test" in output
    output = invoke(*options, "--set=split.folds=3", "--set=split.fold=2").output
    assert "photos: 4 train, 2 validate" in output


@pytest.mark.parametrize(
    ("settings", "location", "message"),
    [
        (["split.folds=1"], "split.folds", "one fold leaves nothing to train on"),
        (["split.folds=3", "split.fold=4"], "split.fold", "there is no such fold; split.folds is 3"),
        (["split.folds=3", "split.validation_data=x"], "split.validation_data", "can't be combined with split.folds"),
        (["validation.choose_by=psnrr"], "validation.choose_by", "no metric of this recipe. Did you mean 'psnr'?"),
    ],
)
def test_faults_of_the_settings(settings, location, message):
    words = [f"--set={setting}" for setting in settings]
    (fault,) = json.loads(invoke("recipe", "validate", "default", "--json", *words, code=2).stdout)["faults"]
    assert fault["location"] == location and message in fault["message"]
