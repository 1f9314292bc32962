"""Labels that hide other values, checks of plugins that raise, the remedy for each plugin that is missing."""

from __future__ import annotations

import json
import math

import pytest
from catalogs import plugin, registries
from click.testing import CliRunner
from commands import invoke, invoke_error
from plugin_sources import GOOD

from toolbox import Field, LossSpec, Params
from toolbox.cli import main
from toolbox.cli.common import print_json
from toolbox.config.binding import bind, bind_component
from toolbox.config.recipe import Recipe, dump, parse
from toolbox.errors import RecipeError
from toolbox.hooks import catalog, manager
from toolbox.hooks.manager import Candidate, PluginRecord
from toolbox.hooks.specs import MetricSpec
from toolbox.training import metric_log


def catalog_of(*specs, **records):
    """Return a catalog of one plugin, with further records of plugins that are not loaded."""
    loaded = manager.load(third_party=False, registries=registries())
    record = PluginRecord(name="stranger", origin="file", source="stranger.py")
    loaded.records.append(record)
    hooks = {
        "toolbox_losses": lambda: [spec for spec in specs if isinstance(spec, LossSpec)],
        "toolbox_metrics": lambda: [spec for spec in specs if isinstance(spec, MetricSpec)],
    }
    manager.register(loaded, Candidate(record=record, load=lambda: plugin(**hooks)))
    assert record.status == "ok", record.cause
    loaded.records += records.values()
    return catalog.build(loaded)


def faults(tree, components):
    with pytest.raises(RecipeError) as caught:
        bind(Recipe(name="r", tree=tree), components)
    return [str(fault) for fault in caught.value.faults]


RESERVED = [("metrics", label) for label in ("loss", "S", "M", "C", "score", "step", "epoch")]
RESERVED += [(table, label) for table in ("losses", "penalties") for label in ("g", "d", "on_real", "d_accuracy")]


@pytest.mark.parametrize(("table", "label"), RESERVED)
def test_a_label_that_hides_another_value_is_refused(table, label):
    found = faults({table: {label: {"name": "x"}}}, catalog_of())
    assert any(fault.startswith(f"{table}.{label}: is a name that the records of a run use") for fault in found)


@pytest.mark.parametrize("label", ["", "a/b", "../up", "a b", "1st", "a\nb", "x" * 65, "a.b", "-a"])
def test_a_label_that_is_no_name_is_refused(label):
    assert any(
        "is not a label; use up to 64 letters" in fault for fault in faults({"losses": {label: {}}}, catalog_of())
    )


@pytest.mark.parametrize("value", ["smooth", {"name": "smooth"}, ["smooth"], True])
def test_a_fill_that_is_no_size_is_refused_under_the_key_that_was_written(value):
    tree = parse(dump({"restoring": {"fill": value}}), "r")
    assert any(
        fault.startswith("restoring.fill: is not a key of this table. Did you mean 'fill_with'?")
        for fault in faults(tree, catalog_of())
    )


@pytest.mark.parametrize(
    ("key", "value", "location"),
    [
        ("fill_with", 3, "fill_with"),
        ("fill_with", ["smooth"], "fill_with"),
        ("detector", True, "detector"),
        ("post", ["none", 0.5], "post.1"),
    ],
)
def test_a_component_that_is_neither_a_name_nor_a_table_is_told_both_forms(key, value, location):
    found = faults({"restoring": {key: value}}, catalog_of())
    assert any(
        fault.startswith(f"restoring.{location}: is ")
        and fault.endswith("; it must be a name, or a table with its name and params")
        for fault in found
    )


def raise_key_error(params):
    raise KeyError("no luck")


def test_checks_of_a_plugin_that_raise_anything_are_faults_of_the_recipe():
    warns = LossSpec(name="warns", summary="x", build=print, warn=raise_key_error)
    checks = LossSpec(name="checks", summary="x", build=print, check=raise_key_error)

    class Strict(Params):
        value: int = Field(1, description="x")

        def model_post_init(self, context):
            raise KeyError("no luck")

    strict = LossSpec(name="strict", summary="x", build=print, params=Strict)
    components = catalog_of(warns, checks, strict)
    for name, words in (
        ("warns", "the warn of loss 'warns' raised KeyError"),
        ("strict", "loss 'strict' raised KeyError"),
    ):
        with pytest.raises(RecipeError, match=words):
            bind_component(components, "loss", name, {})
    bound = bind_component(components, "loss", "checks", {})
    from toolbox.config.plan import Plan

    plan = Plan(name="r", settings=None, components={"loss": (bound,)}, warnings=())
    with pytest.raises(RecipeError, match="its check raised KeyError: 'no luck'"):
        plan.check()


def record(status, cause, **facts):
    return PluginRecord(name="edges", source="edges", status=status, cause=cause, **{"origin": "package", **facts})


REMEDIES = {
    "disabled": (record("disabled", "by toolbox plugin disable edges"), "is disabled: toolbox plugin enable edges"),
    "by the environment": (record("disabled", "by TOOLBOX_DISABLE"), "TOOLBOX_DISABLE disables; remove it there"),
    "by the option": (
        record("disabled", "by --no-plugins"),
        "'edges' (edges-plugin 1.0), which the option --no-plugins",
    ),
    "failed": (record("failed", "import failed: no luck"), "was not loaded: import failed: no luck; see"),
    "absent": (None, "which is not here: pip install edges-plugin"),
}


@pytest.mark.parametrize("reason", REMEDIES)
def test_each_reason_why_a_plugin_is_missing_has_its_remedy(reason):
    state, words = REMEDIES[reason]
    components = catalog_of(**({} if state is None else {"edges": state}))
    tree = {"requires": {"edges": "edges-plugin 1.0"}, "losses": {"edge": {}}}
    (fault,) = [fault for fault in faults(tree, components) if fault.startswith("losses.edge")]
    assert words in fault and ("pip install" in fault) == (reason == "absent")


def test_a_file_that_is_missing_is_added_and_one_that_was_moved_is_added_again(tmp_path, monkeypatch):
    tree = {"requires": {"mine": ""}, "losses": {"edge": {}}}
    assert any("toolbox plugin add FILE" in fault for fault in faults(tree, catalog_of()))
    path = tmp_path / "mine.py"
    path.write_text(GOOD.format(loss="edge"), "utf-8")
    invoke("plugin", "add", path)
    monkeypatch.setenv("TOOLBOX_DISABLE", "mine")
    assert "'mine', which the environment variable TOOLBOX_DISABLE disables" in invoke_error("show", "loss", "edge")
    monkeypatch.delenv("TOOLBOX_DISABLE")
    path.rename(tmp_path / "moved.py")
    remedy = "if it was moved: toolbox plugin remove mine, then toolbox plugin add NEW_PATH"
    assert remedy in invoke("list").stderr and remedy in invoke("plugins").stdout
    assert remedy in invoke("plugin", "check", "mine", code=1).stdout


def test_json_has_null_for_numbers_that_are_not_finite(tmp_path, capsys):
    values = {"a": math.nan, "b": [math.inf, {"c": -math.inf}], "d": (1.5, "nan")}
    expected = {"a": None, "b": [None, {"c": None}], "d": [1.5, "nan"]}
    print_json(values)
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == expected
    metric_log.append_record(tmp_path, values)
    assert json.loads((tmp_path / "metrics.jsonl").read_text(), parse_constant=pytest.fail) == expected


@pytest.mark.parametrize(
    ("option", "key"),
    [
        ("--lr", "generator.optimizer.lr"),
        ("--learning-rate", "generator.optimizer.lr"),
        ("--patience", "validation.patience"),
        ("--batch-size", "training.batch"),
        ("--zoom", "data.zoom"),
        ("--keep", "keep"),
    ],
)
def test_an_option_that_is_a_setting_of_the_recipe_names_the_setting(option, key):
    result = CliRunner().invoke(main, ["run", option, "1"])
    assert result.exit_code == 2
    assert f"No such option: {option}. It is a setting of the recipe: --set {key}=VALUE" in result.stderr


@pytest.mark.parametrize(
    ("command", "option", "words"),
    [
        ("run", "--gpu", "No such option '--gpu'. Did you mean '--device'?"),
        ("restore", "--model", "No such option '--model'. Did you mean '--weights'?"),
        ("restore", "--output", "No such option '--output'. Did you mean '--out'?"),
        ("run", "--epoch", "No such option '--epoch'. Did you mean '--epochs'?"),
        ("mask", "--gpu", "No such option '--gpu'.\n"),
        ("run", "--name", "No such option '--name'.\n"),
    ],
)
def test_an_option_is_suggested_only_where_it_helps(command, option, words):
    assert words in invoke(command, option, "x", code=2).stderr


def test_extends_elsewhere_than_in_a_recipe_file_is_a_fault():
    assert (
        "extends: is only read at the top of a recipe file"
        in invoke(*("recipe", "show", "default", "--set", "extends=supervised"), code=2).stderr
    )


def test_an_option_that_is_none_of_both_is_not_given_a_setting():
    assert "--set" not in CliRunner().invoke(main, ["run", "--frobnicate"]).stderr
    assert "--set" not in CliRunner().invoke(main, ["list", "--lr", "1"]).stderr


SOURCE = ("--set", "source.name=folders")
MISSPELLED = [
    ("losses.l1", "wieght", "weight"),
    ("losses.l1", "enable", "enabled"),
    ("penalties.gradient", "evry", "every"),
    ("generator", "optimiser", "optimizer"),
    ("discriminator", "clip_nrm", "clip_norm"),
    ("generator.schedule", "warmup_step", "warmup_steps"),
    ("source", "nmae", "name"),
]


@pytest.mark.parametrize(("table", "wrong", "right"), MISSPELLED)
def test_a_misspelled_option_of_a_component_is_found(table, wrong, right):
    stderr = invoke("run", "--dry-run", *SOURCE, "--set", f"{table}.{wrong}=1", code=2).stderr
    assert f"{table}.{wrong}: is not a key of" in stderr and f"Did you mean '{right}'?" in stderr


# Keys that other tables may have, and not this one.
ELSEWHERE = [
    ("losses.l1", "every"),
    ("losses.l1", "schedule"),
    ("metrics.psnr", "weight"),
    ("generator.optimizer", "clip_norm"),
    ("generator.schedule", "enabled"),
    ("step", "enabled"),
]


@pytest.mark.parametrize(("table", "key"), ELSEWHERE)
def test_a_key_that_only_other_tables_may_have_is_not_suggested(table, key):
    for written in (key, f"{key}s"):
        stderr = invoke("run", "--dry-run", "--set", f"{table}.{written}=1", code=2).stderr
        assert f"{table}.{written}: is not a key of" in stderr and "Did you mean" not in stderr


@pytest.mark.parametrize(
    ("table", "key"),
    [("generator", "depth"), ("discriminator", "depth"), ("restoring", "filler")],
)
def test_a_key_that_is_only_faintly_like_another_gets_no_suggestion(table, key):
    stderr = invoke("run", "--dry-run", "--set", f"{table}.{key}=1", code=2).stderr
    assert f"{table}.{key}: is not a key of" in stderr and "Did you mean" not in stderr and "Known: " in stderr


@pytest.mark.parametrize("key", ["weight", "enabled", "on", "optimizer", "evry"])
@pytest.mark.parametrize("inner", ["losses.hole.inner", "generator.color"])
def test_a_component_among_params_has_no_options_that_could_be_suggested(inner, key):
    name = {"losses.hole.inner": "mse", "generator.color": "inpainting-unet"}[inner]
    two_stage = ["--set", "generator.name=two-stage"] if inner == "generator.color" else []
    setting = f'{inner}={{name = "{name}", {key} = false}}'
    stderr = invoke("run", "--dry-run", *two_stage, "--set", setting, code=2).stderr
    assert f"{inner}.{key}: is not a key of" in stderr and "Did you mean" not in stderr


def test_a_second_line_of_a_setting_is_not_lost():
    stderr = CliRunner().invoke(main, ["run", "--dry-run", "--set", "training.steps=1\nseed=3"]).stderr
    assert "training.steps: is '1\\nseed=3'; it must be a whole number" in stderr
    stderr = CliRunner().invoke(main, ["run", "--dry-run", "--set", "training.steps=" + "[" * 9999]).stderr
    assert "training.steps: is '[[" in stderr
