"""The checks of a recipe."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from toolbox.config.binding import bind
from toolbox.config.plan import Plan
from toolbox.config.recipe import Recipe, dump, parse, read
from toolbox.hooks.catalog import Catalog
from toolbox.testing.checks import Check, Note, require, run_checks


@dataclass(frozen=True, kw_only=True)
class RecipeCase:
    """A recipe under test."""

    catalog: Catalog
    path: Path

    @cached_property
    def plan(self) -> Plan:
        """The recipe after binding."""
        return bind(read(str(self.path), lambda name: self.catalog.recipe(name).path), self.catalog)


def check_recipe(catalog: Catalog, path: Path) -> list[Check]:
    """Run every check of the recipe file `path`, with components from `catalog`; stop if it can't be bound."""
    first = run_checks(RecipeCase(catalog=catalog, path=path), [check_binding])
    if first[0].status == "failed":
        return first
    case = RecipeCase(catalog=catalog, path=path)
    return [*first, *run_checks(case, [check_spec_checks, check_bound_recipe_round_trip, check_opening_comment])]


def check_binding(case: RecipeCase) -> str:
    """Every name is known and every value is valid."""
    warnings = "; ".join(case.plan.warnings)
    return Note(warnings) if warnings else "every name and value is valid"


def check_spec_checks(case: RecipeCase) -> str:
    """The `check` of each component's spec accepts its params."""
    case.plan.check()
    return "all params accepted"


def check_bound_recipe_round_trip(case: RecipeCase) -> str:
    """The bound recipe that a run folder contains, with every value explicit, binds to the same plan."""
    text = dump(case.plan.tree())
    again = bind(Recipe(name=case.plan.name, tree=parse(text, "the bound recipe")), case.catalog)
    require(again.tree() == case.plan.tree(), "the bound recipe differs after writing and reading it")
    return "read back unchanged"


def check_opening_comment(case: RecipeCase) -> str:
    """The file starts with a comment: the command that runs the recipe, and what to expect of it."""
    comment = []
    for line in case.path.read_text("utf-8").splitlines():
        if not line.startswith("#"):
            break
        comment.append(line)
    if any("toolbox run" in line for line in comment):
        return "says how to run it"
    return Note("it does not start with a comment that says how to run it: # toolbox run --recipe NAME …")
