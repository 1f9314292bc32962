"""Specs: the frozen objects that hooks return, one per component.

A spec gives a component's name, summary and params, and builds the component. Creating one imports nothing heavy:
`build` and `check` import torch inside.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from toolbox.hooks.param_schemas import require_usable_params
from toolbox.hooks.params import RESERVED_IN_OPTIMIZERS, RESERVED_IN_SCHEDULES, RESERVED_KEYS, Params
from toolbox.hooks.record_names import require_figure_names
from toolbox.hooks.spec_types import require_field_types

# In `[restoring] fill_with` and `--fill`: the generator fills the lost region itself.
NETWORK_FILL = "network"
# With `--post`: no post-processor, whatever the recipe says.
NO_POSTPROCESSORS = "none"
# The weights that ship, and how photographs are filled with them unless the user says otherwise.
DEFAULT_WEIGHTS = "luma"
DEFAULT_FILL = "auto"
NAME_PATTERN = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@dataclass(frozen=True, kw_only=True)
class Spec:
    """Base class of every spec: of components, recipes and weights.

    Attributes:
        name: lower-case words joined by hyphens, unique among all specs of its kind.
        summary: one line for `toolbox list`.
    """

    kind: ClassVar[str]
    name: str
    summary: str

    def __post_init__(self) -> None:
        """Raise ValueError for an invalid name or choice, and TypeError for a field of another type."""
        require_field_types(self)
        if not NAME_PATTERN.fullmatch(self.name):
            raise ValueError(f"name {self.name!r} is not lower-case words joined by hyphens")


@dataclass(frozen=True, kw_only=True)
class ComponentSpec(Spec):
    """Base class of the specs of components: things that are built from params.

    Attributes:
        build: called as ``build(params, **components)`` with the validated params and, for each param that is a
            component itself, the built component under the field's name. Returns the component.
        params: the class of the params; each field has a description.
        reference: the paper, standard or library that the component follows.
        licence: the licence of the code or the weights of the component, if it is not the plugin's.
        check: called with the params; raises ValueError with one line for faults that only heavy imports can find
            (a backbone that does not exist). `toolbox run` and `toolbox recipe validate` call it after the recipe
            is bound.
        warn: called with the params; returns one line for what is allowed but unusual, or None.
        initial: names of params that only choose the weights to start from (a file, a download). If trained weights
            are loaded afterwards, to restore or to resume, `build` gets these params with their default values.
    """

    reserved: ClassVar[frozenset[str]] = RESERVED_KEYS
    build: Callable[..., Any]
    params: type[Params] = Params
    reference: str = ""
    licence: str = ""
    check: Callable[[Any], None] | None = None
    warn: Callable[[Any], str | None] | None = None
    initial: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise ValueError or TypeError for a spec that can't be listed, bound or explained."""
        super().__post_init__()
        if not self.summary.strip() or "\n" in self.summary:
            raise ValueError(f"'{self.name}' needs a summary of one line")
        if not (isinstance(self.params, type) and issubclass(self.params, Params)):
            raise TypeError(f"params of '{self.name}' is {self.params!r}, not a subclass of toolbox.Params")
        require_usable_params(self.name, self.params, self.reserved)
        fields = self.params.model_fields
        invalid = sorted(name for name in self.initial if name not in fields or fields[name].is_required())
        if invalid:
            raise ValueError(
                f"initial of '{self.name}' has names that are not params with a default: {', '.join(invalid)}"
            )


@dataclass(frozen=True, kw_only=True)
class GeneratorSpec(ComponentSpec):
    """A generator; see `toolbox.hooks.protocols.Generator`.

    Attributes:
        auxiliary: the names of its auxiliary outputs, or a function that returns them for given params. A loss uses one
            with ``on = "name"``.
        restores: False for a network that does not restore pictures, such as one for segmentation: it returns a tensor
            (B, C, h, w) whose meaning the training step knows.
    """

    kind = "generator"
    auxiliary: tuple[str, ...] | Callable[[Any], tuple[str, ...]] = ()
    restores: bool = True

    def auxiliary_of(self, params: Params) -> tuple[str, ...]:
        """Return the names of the auxiliary outputs of a generator with these params."""
        return tuple(self.auxiliary(params)) if callable(self.auxiliary) else self.auxiliary


@dataclass(frozen=True, kw_only=True)
class DiscriminatorSpec(ComponentSpec):
    """A discriminator; see `toolbox.hooks.protocols.Discriminator`."""

    kind = "discriminator"


@dataclass(frozen=True, kw_only=True)
class LossSpec(ComponentSpec):
    """A loss; see `toolbox.hooks.protocols.ReconstructionLoss` and `AdversarialLoss`.

    Attributes:
        role: which of the two protocols the loss implements.
        sees_real: whether the generator's part of an adversarial loss needs the maps of real pictures; this costs
            one more forward pass of the discriminator.
    """

    kind = "loss"
    role: Literal["reconstruction", "adversarial"] = "reconstruction"
    sees_real: bool = False


@dataclass(frozen=True, kw_only=True)
class PenaltySpec(ComponentSpec):
    """A penalty on the discriminator; see `toolbox.hooks.protocols.Penalty`."""

    kind = "penalty"


@dataclass(frozen=True, kw_only=True)
class DegradationSpec(ComponentSpec):
    """A degradation; see `toolbox.hooks.protocols.Degradation`.

    Attributes:
        role: "damage" makes a damaged image from an undamaged photograph, in training and validation; "augment"
            varies training samples of every kind, also those that are damaged already.
        kinds: the kinds of damage that it labels, such as ("scratch", "stain"); only with the role "damage".
    """

    kind = "degradation"
    role: Literal["damage", "augment"] = "damage"
    kinds: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise ValueError for kinds that can't be labelled."""
        super().__post_init__()
        invalid = [kind for kind in self.kinds if not NAME_PATTERN.fullmatch(kind)]
        if invalid:
            raise ValueError(f"kinds of '{self.name}': {invalid[0]!r} is not lower-case words joined by hyphens")
        if len(set(self.kinds)) < len(self.kinds):
            raise ValueError(f"kinds of '{self.name}' have a name twice")
        if self.kinds and self.role != "damage":
            raise ValueError(f"'{self.name}' is no damage, so it has no kinds; it changes the labels that it is given")


@dataclass(frozen=True, kw_only=True)
class DetectorSpec(ComponentSpec):
    """A detector; see `toolbox.hooks.protocols.Detector`.

    Attributes:
        kinds: the kinds of damage for which it gives probabilities, such as ("scratch", "stain").
        gray_only: whether what it finds counts only in a photograph that is gray or toned elsewhere. In a colour
            photograph, a flat shape is usually a part of the picture.
        translucent: those of `kinds` under which the picture still shows, such as ("stain",). `toolbox restore
            --repair` corrects their level and tint, and fills them only where no detail is left.
    """

    kind = "detector"
    kinds: tuple[str, ...] = ()
    gray_only: bool = False
    translucent: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise ValueError if `translucent` has a kind that the detector does not find."""
        super().__post_init__()
        if unknown := set(self.translucent) - set(self.kinds):
            raise ValueError(f"translucent has {', '.join(sorted(unknown))}; add it to kinds, or take it out")


@dataclass(frozen=True, kw_only=True)
class FillerSpec(ComponentSpec):
    """A filler; see `toolbox.hooks.protocols.Filler`."""

    kind = "filler"

    def __post_init__(self) -> None:
        """Raise ValueError for the name that stands for the generator itself."""
        super().__post_init__()
        if self.name == NETWORK_FILL:
            raise ValueError(f"a filler can't be named '{NETWORK_FILL}', which stands for the generator; rename it")


@dataclass(frozen=True, kw_only=True)
class PostprocessorSpec(ComponentSpec):
    """A post-processor; see `toolbox.hooks.protocols.Postprocessor`.

    Attributes:
        changes_known: whether it may change known pixels. If not, they are put back after it.
    """

    kind = "postprocessor"
    changes_known: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError for the name that stands for no post-processor."""
        super().__post_init__()
        if self.name == NO_POSTPROCESSORS:
            raise ValueError(f"a post-processor can't be named '{NO_POSTPROCESSORS}', which stands for none; rename it")


@dataclass(frozen=True, kw_only=True)
class MetricSpec(ComponentSpec):
    """A metric; see `toolbox.hooks.protocols.Metric`.

    Attributes:
        better: whether a higher or a lower value is better.
        needs_truth: False for a metric that does not compare with the truth, such as colourfulness; then the truth need
            not have the best value.
    """

    kind = "metric"
    better: Literal["higher", "lower"] = "higher"
    needs_truth: bool = True


@dataclass(frozen=True, kw_only=True)
class ObserverSpec(ComponentSpec):
    """An observer of a run; see `toolbox.hooks.observing.Observer`."""

    kind = "observer"


@dataclass(frozen=True, kw_only=True)
class OptimizerSpec(ComponentSpec):
    """An optimizer of a network's weights.

    Attributes:
        build: called as ``build(params, weights)`` with the list of weights (`torch.nn.Parameter`) to train. Returns a
            `torch.optim.Optimizer` over all of them.
    """

    kind = "optimizer"
    reserved = RESERVED_IN_OPTIMIZERS


@dataclass(frozen=True, kw_only=True)
class ScheduleSpec(ComponentSpec):
    """A schedule of the learning rate.

    Attributes:
        build: called as ``build(params, optimizer, horizon)`` with the optimizer and a `toolbox.Horizon`. Returns a
            `torch.optim.lr_scheduler.LRScheduler`.
        cadence: "epoch" if the schedule is stepped once at the end of each epoch, "step" if after each training step.
    """

    kind = "schedule"
    reserved = RESERVED_IN_SCHEDULES
    cadence: Literal["epoch", "step"] = "epoch"


@dataclass(frozen=True, kw_only=True)
class StepSpec(ComponentSpec):
    """A training step; see `toolbox.hooks.protocols.TrainingStep`.

    Attributes:
        uses_discriminator: whether it trains a discriminator with adversarial losses and penalties.
        restores: False if it trains a network that does not restore pictures. Then it is a `ValidatingStep`, and there
            are no losses, no metrics and no restored photographs.
        uses_labels: whether it trains on the labels of damage, so that a degradation must give some.
        figures: without `restores`, the names of the figures of its validations by which the best weights can be
            chosen; higher is better. The loss can always be chosen.
        example: returns a small network (a `torch.nn.Module`), with which the conformance kit tests a step that works
            with a network of its own; None: a convolution.
    """

    kind = "step"
    uses_discriminator: bool = True
    restores: bool = True
    uses_labels: bool = False
    figures: tuple[str, ...] = ()
    example: Callable[[], Any] | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for a figure whose name the records of a run use."""
        super().__post_init__()
        require_figure_names(self.figures, f"'{self.name}'")
