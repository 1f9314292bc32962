"""Compare the docs with the program: help texts, commands, messages, faults, settings. 5 s.

`UPDATE_DOCS=1 pytest tests/docs/test_help_texts.py` writes the help texts in docs/commands.md again.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import tomllib
from types import SimpleNamespace
from typing import Any, get_args

import click
import pytest
from click.testing import CliRunner
from documents import DOCS, LINKED, ROOT, blocks, name_of, prose, section, strings
from plugin_sources import BROKEN
from toolbox_plugins.default import optimization

from toolbox.cli import main
from toolbox.cli.plugin_commands import PluginCommands, load_command
from toolbox.config import component_options, recipe, settings
from toolbox.config.binding import bind
from toolbox.errors import RecipeError
from toolbox.hooks import catalog

MARK = "<!-- help -->\n"
# Values in the messages on docs/trouble.md.
VALUES = r"\bcuda\b|\bcpu\b|loss\.ssim, g, gradient\.g|\w\.png"


def commands(command=main, name="toolbox"):
    """Yield every command with its full name, groups first."""
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for child in command.list_commands(context):
            yield from commands(command.get_command(context, child), f"{name} {child}")


def plugin_commands():
    """Return the commands of the plugins that ship, with their full names."""
    found = {}
    for entry in catalog.load(third_party=False).entries("command"):
        found[f"toolbox {entry.plugin}"] = PluginCommands(entry.plugin, {})
        found[f"toolbox {entry.plugin} {entry.spec.name}"] = load_command(entry)
    return found


def help_of(name):
    result = CliRunner().invoke(main, [*name.split()[1:], "--help"], prog_name="toolbox", terminal_width=100)
    assert result.exit_code == 0
    return result.output


def test_help_texts():
    path = DOCS / "commands.md"
    head, _, sections = path.read_text("utf-8").partition(MARK)
    helps = {name: help_of(name) for name, _ in commands()}
    if os.environ.get("UPDATE_DOCS"):
        sections = "".join(f"\n## `{name}`\n\n```text\n{text}```\n" for name, text in helps.items())
        path.write_text(head + MARK + sections, "utf-8")
    on_page = dict(re.findall(r"^## `(.+?)`\n\n```text\n(.*?)^```$", sections, re.DOTALL | re.MULTILINE))
    # Compared word by word: the line breaks depend on the version of click.
    listed = {name: text.split() for name, text in on_page.items()}
    outdated = [name for name in helps.keys() | listed.keys() if listed.get(name) != helps.get(name, "").split()]
    assert not outdated, (
        f"docs/commands.md is outdated for {sorted(outdated)}; "
        "UPDATE_DOCS=1 pytest tests/docs/test_help_texts.py updates it"
    )


@pytest.mark.parametrize("path", [path for path in LINKED if path.name != "commands.md"], ids=name_of)
def test_commands_and_options_exist(path):
    known = dict(commands()) | plugin_commands()
    text = path.read_text("utf-8")
    lines = [line.partition("  #")[0] for block in blocks(text, "sh") for line in block.splitlines()]
    lines += re.findall(r"`((?:TOOLBOX_\w+=\S+ )?toolbox [^`]+)`", prose(text).replace("\n", " "))
    for line in (part.strip() for joined in lines for part in joined.split("&&")):
        words = [word for word in shlex.split(line) if not word.startswith(("TOOLBOX_", "…"))]
        if not words or words[0] != "toolbox" or words[1:2] == ["PLUGIN"]:  # any plugin's name
            continue
        name, options = "toolbox", [word for word in words if word.startswith("-")]
        for word in (word for word in words[1:] if not word.startswith("-")):
            if not isinstance(known[name], click.Group):
                break
            assert f"{name} {word}" in known, f"{path.name} has `{line}`: there is no such command"
            name = f"{name} {word}"
        context = click.Context(known[name])
        accepted = {option for param in (*main.params, *known[name].get_params(context)) for option in param.opts}
        assert {option.partition("=")[0] for option in options} <= accepted | {"--help"}, f"{path.name} has `{line}`"


def longest_parts(message):
    """Return the parts of a message of at least three words between its values: numbers, quoted names, VALUES, …."""
    parts = re.split(rf"…|'[^']*'|[\d.]*\d[\d.]*%?|{VALUES}", message)
    return [part.strip(" ,:;.") for part in parts if len(part.split()) >= 3]


def test_messages_on_the_page_about_trouble_are_those_of_the_source():
    source = "\n".join(
        text for path in (ROOT / "toolbox").rglob("*.py") for text in strings(ast.parse(path.read_text("utf-8")))
    )
    lines = re.findall(r"^    (?:toolbox|warning): (.+)$", (DOCS / "trouble.md").read_text("utf-8"), re.MULTILINE)
    parts = [part for line in lines for part in longest_parts(line)]
    assert len(parts) >= 8
    assert not [part for part in parts if part not in source]


def test_causes_of_broken_plugins():
    page = re.sub(r"`", "", (DOCS / "plugins.md").read_text("utf-8"))
    missing = [cause for _, cause in BROKEN.values() if cause not in page]
    assert not missing, "docs/plugins.md does not have these causes"


def test_the_message_about_a_missing_plugin(tmp_path, monkeypatch):
    page = section((DOCS / "plugins.md").read_text("utf-8"), "Plugins that a recipe needs")
    (block,), (expected,) = blocks(page, "toml"), blocks(page, "text")
    (tmp_path / "mine.toml").write_text(block, "utf-8")
    monkeypatch.setenv("TOOLBOX_DISABLE", "adversarial")
    result = CliRunner().invoke(main, ["recipe", "validate", "mine.toml"])
    message = result.stderr.splitlines()[1].strip()
    start, _, end = expected.strip().partition("…")
    assert message.startswith(start) and message.endswith(end)


def test_the_faulty_recipe_has_the_faults_on_the_page(tmp_path):
    page = (DOCS / "recipes.md").read_text("utf-8")
    (block,) = blocks(page, "toml", "faulty")
    (tmp_path / "mine.toml").write_text(block, "utf-8")
    loaded = catalog.load(third_party=False)
    with pytest.raises(RecipeError) as raised:
        bind(recipe.read("mine.toml", lambda name: loaded.recipe(name).path), loaded)
    expected = blocks(section(page, "Faults"), "text")[0].splitlines()
    assert len(expected) == len(raised.value.faults)
    for line, fault in zip(expected, raised.value.faults, strict=True):
        assert str(fault).startswith(line.removesuffix("…").removesuffix("degradations, "))


# ---- settings

SETTINGS = settings.Settings.model_fields
TOP = SimpleNamespace(model_fields={name: field for name, field in SETTINGS.items() if field.default_factory is None})
TABLES: dict[str, list[Any]] = {
    "Top of the file": [TOP],
    "`[data]`": [settings.Data],
    "`[split]`": [settings.Split],
    "`[training]`": [settings.Training],
    "`[validation]`": [settings.Validation],
    "`[restoring]`": [settings.Restoring],
    "`[sample]`": [settings.SampleSet],
    "`[generator]`": [component_options.NetworkOptions],
    "`[discriminator]`": [component_options.NetworkOptions],
    "`[generator.optimizer]` and `[discriminator.optimizer]`": [
        optimization.AdamWParams,
        optimization.AdamParams,
        optimization.SGDParams,
    ],
    "`[generator.schedule]` and `[discriminator.schedule]`": [
        component_options.ScheduleOptions,
        optimization.StepParams,
        optimization.CosineParams,
    ],
    "`[losses.KEY]`": [component_options.LossOptions],
    "`[penalties.KEY]`": [component_options.PenaltyOptions],
    "`[degradations.KEY]`, `[metrics.KEY]` and `[observers.KEY]`": [component_options.ComponentOptions],
}
WITHOUT_KEYS = {component_options.OptimizerOptions, component_options.RefOptions, component_options.StepOptions}


def default_in(cell):
    """Return the value in a table cell: TOML, or None for "not set"."""
    if cell == "not set":
        return None
    value = tomllib.loads(f"value = {cell.strip('`')}")["value"]
    return tuple(value) if isinstance(value, list) else value


@pytest.mark.parametrize("title", TABLES)
def test_settings_and_their_defaults(title):
    text = section((DOCS / "recipes.md").read_text("utf-8"), title)
    tables = [re.findall(r"^\| `(\w+)` \| (.+?) \| (.*)\|$", part, re.M) for part in text.split("\n| key |")[1:]]
    assert len(tables) == len(TABLES[title])
    for listed, model in zip(tables, TABLES[title], strict=True):
        assert [key for key, *_ in listed] == list(model.model_fields)
        for key, cell, meaning in listed:
            field = model.model_fields[key]
            assert default_in(cell) == field.default, key
            choices = [choice for choice in get_args(field.annotation) if isinstance(choice, str)]
            assert key == "name" or all(f'"{choice}"' in meaning for choice in choices), key


def test_every_table_of_settings_is_described():
    described = {model for models in TABLES.values() for model in models if model is not TOP}
    members = [*vars(settings).values(), *vars(component_options).values()]
    classes = {value for value in members if isinstance(value, type)}
    tables = {value for value in classes if issubclass(value, settings.Table)}
    assert tables - described == {settings.Table, settings.Settings, *WITHOUT_KEYS}
    assert not any(table.model_fields for table in WITHOUT_KEYS)
    titles = "".join(TABLES) + "`[requires]`"
    tables = [name for name, field in SETTINGS.items() if field.default_factory is not None]
    assert all(f"`[{name}]`" in titles for name in tables)
    assert "### `[requires]`" in (DOCS / "recipes.md").read_text("utf-8")
