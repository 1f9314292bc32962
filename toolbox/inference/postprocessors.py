"""Apply post-processors to a restored photograph, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from toolbox.config.binding import bind_component
from toolbox.config.plan import BoundComponent, Plan
from toolbox.errors import UsageError, unknown_name
from toolbox.hooks import blame
from toolbox.hooks.catalog import Catalog, Entry
from toolbox.hooks.isolated_call import call_isolated
from toolbox.hooks.protocols import Postprocessor
from toolbox.hooks.specs import NO_POSTPROCESSORS, PostprocessorSpec
from toolbox.inference.fillers import describe
from toolbox.models.build import build_component


@dataclass(frozen=True, kw_only=True)
class LoadedPostprocessor:
    """A post-processor that is ready to use; call it as the post-processor.

    Attributes:
        process: the post-processor.
        changes_known: whether it may change known pixels.
        entry: its entry in the catalog.
    """

    process: Postprocessor
    changes_known: bool = False
    entry: Entry | None = None

    def __call__(self, restored: np.ndarray, original: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Return the new picture; known pixels are those of `restored`, unless the post-processor may change them.

        Raises:
            PluginError: the post-processor fails, or returns an array of another type or shape.
        """
        # Copies, because a plugin may write into what it is given.
        with blame.explained():
            result = call_isolated(self.entry, self.process, restored.copy(), original.copy(), mask.copy())
        if not isinstance(result, np.ndarray) or result.shape != restored.shape or result.dtype != restored.dtype:
            fault = f"returned {describe(result)} for {describe(restored)}"
            raise blame.wrong_result(self.entry, self.process, fault)
        return result if self.changes_known else np.where(mask[..., None], result, restored)


def find_postprocessors(names: str | Sequence[str], catalog: Catalog) -> tuple[LoadedPostprocessor, ...]:
    """Return the post-processors of these names, or of one name, with the default params; none for "none".

    Raises:
        UsageError: a name is not known; the message has the choices.
        TypeError: it is neither a name nor a list of names.
    """
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list | tuple):
        raise TypeError(f"post is a name or a list of names, not a {type(names).__name__}")
    if tuple(names) == (NO_POSTPROCESSORS,):
        return ()
    if NO_POSTPROCESSORS in names:
        raise UsageError(f"'{NO_POSTPROCESSORS}' means no post-processor, and others are named too; leave it out.")
    for name in names:
        if name not in catalog.names("postprocessor"):
            known = [*catalog.names("postprocessor"), NO_POSTPROCESSORS]
            raise UsageError(unknown_name("postprocessor", name, known, "toolbox list postprocessors"))
    return tuple(_load(bind_component(catalog, "postprocessor", name, {})) for name in names)


def recipe_postprocessors(plan: Plan) -> tuple[LoadedPostprocessor, ...]:
    """Return the post-processors that a recipe names, in its order."""
    return tuple(_load(bound) for bound in plan.components["postprocessor"])


def _load(bound: BoundComponent) -> LoadedPostprocessor:
    spec = cast(PostprocessorSpec, bound.spec)
    process = build_component(bound, fresh=False)
    return LoadedPostprocessor(process=process, changes_known=spec.changes_known, entry=bound.entry)
