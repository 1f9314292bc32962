"""What the docs say of the program, against the program: help texts, commands, causes, faults, settings. Some 2 s.

`UPDATE_DOCS=1 pytest tests/test_docs_program.py` writes the help texts in docs/commands.md anew.
"""

from __future__ import annotations

import os
import re
import shlex
import tomllib
from types import SimpleNamespace
from typing import Any, get_args

import click
import pytest
from click.testing import CliRunner
from documents import DOCS, LINKED, blocks, name_of, prose, section
from plugin_sources import BROKEN
from pydantic import BaseModel

from toolbox.cli import main
from toolbox.config import recipe, settings
from toolbox.config.plan import bind
from toolbox.errors import RecipeError
from toolbox.hooks import catalog

MARK = "<!-- help -->\n"


def commands(command=main, name="toolbox"):
    """Yield every command with its full name, groups first."""
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for one in command.list_commands(context):
            yield from commands(command.get_command(context, one), f"{name} {one}")


def help_of(name):
    result = CliRunner().invoke(main, [*name.split()[1:], "--help"], prog_name="toolbox", terminal_width=100)
    assert result.exit_code == 0
    return result.output


def test_help_texts():
    path = DOCS / "commands.md"
    head, _, shown = path.read_text("utf-8").partition(MARK)
    told = {name: help_of(name) for name, _ in commands()}
    if os.environ.get("UPDATE_DOCS"):
        shown = "".join(f"\n## `{name}`\n\n```text\n{text}```\n" for name, text in told.items())
        path.write_text(head + MARK + shown, "utf-8")
    found = dict(re.findall(r"^## `(.+?)`\n\n```text\n(.*?)^```$", shown, re.DOTALL | re.MULTILINE))
    # Where lines are broken is click's affair.
    listed = {name: text.split() for name, text in found.items()}
    wrong = [name for name in told.keys() | listed.keys() if listed.get(name) != told.get(name, "").split()]
    assert not wrong, (
        f"docs/commands.md is old for {sorted(wrong)}; UPDATE_DOCS=1 pytest tests/test_docs_program.py mends it"
    )


@pytest.mark.parametrize("path", [path for path in LINKED if path.name != "commands.md"], ids=name_of)
def test_commands_and_options_exist(path):
    known = dict(commands())
    text = path.read_text("utf-8")
    lines = [line.partition("  #")[0] for block in blocks(text, "sh") for line in block.splitlines()]
    lines += re.findall(r"`((?:TOOLBOX_\w+=\S+ )?toolbox [^`]+)`", prose(text).replace("\n", " "))
    for line in (part.strip() for whole in lines for part in whole.split("&&")):
        words = [word for word in shlex.split(line) if not word.startswith(("TOOLBOX_", "…"))]
        if not words or words[0] != "toolbox":
            continue
        name, options = "toolbox", [word for word in words if word.startswith("-")]
        for word in (word for word in words[1:] if not word.startswith("-")):
            if not isinstance(known[name], click.Group):
                break
            assert f"{name} {word}" in known, f"{path.name} has `{line}`: there is no such command"
            name = f"{name} {word}"
        context = click.Context(known[name])
        taken = {option for one in (*main.params, *known[name].get_params(context)) for option in one.opts}
        assert {option.partition("=")[0] for option in options} <= taken | {"--help"}, f"{path.name} has `{line}`"


def test_causes_of_broken_plugins():
    page = re.sub(r"`", "", (DOCS / "plugins.md").read_text("utf-8"))
    missing = [says for _, says in BROKEN.values() if says not in page]
    assert not missing, "docs/plugins.md does not have these causes"


def test_what_a_recipe_says_of_a_plugin_that_is_not_here(tmp_path, monkeypatch):
    page = section((DOCS / "plugins.md").read_text("utf-8"), "What a recipe says of plugins")
    (block,), (shown,) = blocks(page, "toml"), blocks(page, "text")
    (tmp_path / "mine.toml").write_text(block, "utf-8")
    monkeypatch.setenv("TOOLBOX_DISABLE", "adversarial")
    result = CliRunner().invoke(main, ["recipe", "validate", "mine.toml"])
    said = result.stderr.splitlines()[1].strip()
    start, _, end = shown.strip().partition("…")
    assert said.startswith(start) and said.endswith(end)


def test_the_faulty_recipe_has_the_faults_shown(tmp_path):
    page = (DOCS / "recipes.md").read_text("utf-8")
    (block,) = blocks(page, "toml", "faulty")
    (tmp_path / "mine.toml").write_text(block, "utf-8")
    loaded = catalog.load(third_party=False)
    with pytest.raises(RecipeError) as raised:
        bind(recipe.read("mine.toml", lambda name: loaded.recipe(name).path), loaded)
    shown = blocks(section(page, "Faults"), "text")[0].splitlines()
    assert len(shown) == len(raised.value.faults)
    for line, fault in zip(shown, raised.value.faults, strict=True):
        assert str(fault).startswith(line.removesuffix("…").removesuffix("degradations, "))


# ---- settings

SETTINGS = settings.Settings.model_fields
TOP = SimpleNamespace(model_fields={name: one for name, one in SETTINGS.items() if one.default_factory is None})
TABLES: dict[str, list[Any]] = {
    "Top of the file": [TOP],
    "`[data]`": [settings.Data],
    "`[split]`": [settings.Split],
    "`[training]`": [settings.Training],
    "`[validation]`": [settings.Validation],
    "`[restoring]`": [settings.Restoring],
    "`[sample]`": [settings.SampleSet],
    "`[generator]`": [settings.Generator],
    "`[discriminator]`": [settings.Network],
    "`[generator.optimizer]` and `[discriminator.optimizer]`": [settings.AdamW, settings.Adam, settings.SGD],
    "`[generator.schedule]` and `[discriminator.schedule]`": [settings.Constant, settings.Step, settings.Cosine],
    "`[losses.KEY]`": [settings.LossTerm],
    "`[penalties.KEY]`": [settings.PenaltyTerm],
    "`[degradations.KEY]` and `[metrics.KEY]`": [settings.Plain],
}


def default_in(cell):
    """Return the value that a table's cell states: TOML, or None where it is not set."""
    if cell == "not set":
        return None
    value = tomllib.loads(f"value = {cell.strip('`')}")["value"]
    return tuple(value) if isinstance(value, list) else value


@pytest.mark.parametrize("title", TABLES)
def test_settings_and_their_defaults(title):
    part = section((DOCS / "recipes.md").read_text("utf-8"), title)
    tables = [re.findall(r"^\| `(\w+)` \| (.+?) \| (.*)\|$", one, re.MULTILINE) for one in part.split("\n| key |")[1:]]
    assert len(tables) == len(TABLES[title])
    for listed, model in zip(tables, TABLES[title], strict=True):
        assert [key for key, *_ in listed] == list(model.model_fields)
        for key, cell, meaning in listed:
            field = model.model_fields[key]
            if isinstance(field.default, BaseModel):
                assert cell == "a table"
                assert type(field.default).__name__.lower() in meaning.lower()
                continue
            assert default_in(cell) == field.default, key
            choices = [one for one in get_args(field.annotation) if isinstance(one, str)]
            assert key == "name" or all(f'"{choice}"' in meaning for choice in choices), key


def test_every_table_of_settings_is_described():
    described = {model for models in TABLES.values() for model in models if model is not TOP}
    sections = {one for one in vars(settings).values() if isinstance(one, type) and issubclass(one, settings.Section)}
    assert sections - described == {settings.Section, settings.Settings}
    titles = "".join(TABLES) + "`[requires]`"
    tables = [name for name, field in SETTINGS.items() if field.default_factory is not None]
    assert all(f"`[{name}]`" in titles for name in tables)
    assert "### `[requires]`" in (DOCS / "recipes.md").read_text("utf-8")
