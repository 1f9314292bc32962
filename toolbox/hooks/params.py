"""The params of components, and params that are components themselves."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:  # pydantic's metaclass has no public name
    from pydantic._internal._model_construction import ModelMetaclass as _ModelMeta
else:
    _ModelMeta = type(BaseModel)

# Keys that recipes use in a component's table, so that no param can have them. `toolbox.config.component_options`
# declares them; a test compares the two.
RESERVED_KEYS = frozenset({"name", "enabled", "weight", "every", "on", "optimizer", "schedule", "init", "clip_norm"})
# The same for the tables of optimizers and schedules, which have few such keys.
RESERVED_IN_OPTIMIZERS = frozenset({"name"})
RESERVED_IN_SCHEDULES = frozenset({"name", "warmup_steps"})


class _ParamsMeta(_ModelMeta):
    """Refuse a param called `model_config`, for which pydantic raises an error that does not name it."""

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> Any:  # noqa: ANN401
        if not isinstance(namespace.get("model_config", {}), dict):
            raise TypeError(f"{name} has a param called model_config, a name that pydantic uses; choose another name")
        with warnings.catch_warnings():  # a name that pydantic uses is refused with the component
            warnings.filterwarnings("ignore", ".*shadows an attribute in parent", UserWarning)
            return super().__new__(cls, name, bases, namespace, **options)


class Params(BaseModel, metaclass=_ParamsMeta):
    """Base class of the params of every component: frozen; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Ref(BaseModel):
    """A param that is a component itself: its name and, in the same table, its params."""

    model_config = ConfigDict(extra="allow", frozen=True)
    kind: ClassVar[str]
    name: str


class GeneratorRef(Ref):
    """A generator as a param; `build` gets the built module as an argument with the field's name."""

    kind = "generator"


class DiscriminatorRef(Ref):
    """A discriminator as a param; `build` gets the built module as an argument with the field's name."""

    kind = "discriminator"


class LossRef(Ref):
    """A reconstruction loss as a param; `build` gets the built loss as an argument with the field's name."""

    kind = "loss"


class DetectorRef(Ref):
    """A detector as a param; `build` gets the built detector as an argument with the field's name."""

    kind = "detector"


class FillerRef(Ref):
    """A filler as a param; `build` gets the built filler as an argument with the field's name."""

    kind = "filler"


class PostprocessorRef(Ref):
    """A post-processor as a param; `build` gets the built post-processor as an argument with the field's name."""

    kind = "postprocessor"


class PenaltyRef(Ref):
    """A penalty as a param; `build` gets the built penalty as an argument with the field's name."""

    kind = "penalty"
