"""What a recipe that a plugin brings must do."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from toolbox.config.binding import bind
from toolbox.config.plan import Plan
from toolbox.config.recipe import Recipe, dump, parse, read
from toolbox.hooks.catalog import Catalog
from toolbox.testing.checks import Check, Noted, demand, perform


@dataclass(frozen=True, kw_only=True)
class Case:
    """A recipe under test."""

    catalog: Catalog
    path: Path

    @cached_property
    def plan(self) -> Plan:
        """The recipe as bound."""
        return bind(read(str(self.path), lambda name: self.catalog.recipe(name).path), self.catalog)


def check(catalog: Catalog, path: Path) -> list[Check]:
    """Return every check of the recipe file `path`, its components taken from `catalog`."""
    first = perform(Case(catalog=catalog, path=path), [binds])
    if first[0].status == "failed":
        return first
    return [*first, *perform(Case(catalog=catalog, path=path), [own_checks, written_out, opening])]


def binds(case: Case) -> str:
    """Every name is known and every value fits."""
    warnings = "; ".join(case.plan.warnings)
    return Noted(warnings) if warnings else "every name and value fits"


def own_checks(case: Case) -> str:
    """The components' own checks accept their params."""
    case.plan.check()
    return "accepted"


def written_out(case: Case) -> str:
    """The recipe as a run folder keeps it, every value explicit, binds to the same plan."""
    text = dump(case.plan.tree())
    again = bind(Recipe(name=case.plan.name, tree=parse(text, "the recipe as written out")), case.catalog)
    demand(again.tree() == case.plan.tree(), "written out and read back, the recipe is another one")
    return "read back as it was"


def opening(case: Case) -> str:
    """The file opens with a comment: the command that runs it and what to expect of it."""
    head = []
    for line in case.path.read_text("utf-8").splitlines():
        if not line.startswith("#"):
            break
        head.append(line)
    if any("toolbox run" in line for line in head):
        return "says how to run it"
    return Noted("it does not open with a comment that says how to run it: # toolbox run --recipe NAME …")
