"""The recipe's own tables, typed to the leaf: what is not a component.

The descriptions feed `toolbox recipe schema` and the docs.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator


class Section(BaseModel):
    """Base of every table: frozen, and an unknown key is a fault."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(Section):
    """Which part of a photograph a batch holds."""

    size: int = Field(512, ge=16, le=4096, description="side of the square training pictures, in pixels")
    zoom: float = Field(
        1.0,
        ge=1,
        le=8,
        description="training pictures of photographs are cut at scales from the whole short side to one in so many",
    )
    repeat: int = Field(1, ge=1, description="samples taken of each photograph in an epoch, each damaged anew")
    workers: int = Field(0, ge=0, le=64, description="threads that load data; 0 loads between the steps")
    cache: bool = Field(True, description="photographs are decoded once and kept on disk as they are trained on")


class Split(Section):
    """How photographs are shared out between training and validation."""

    method: Literal["random", "scene"] = Field(
        "random",
        description="random: as scikit-learn's train_test_split; scene: bursts and overlapping crops stay together",
    )
    validation: float = Field(0.2, gt=0, lt=1, description="share that validates")
    seed: int = Field(42, ge=0, lt=2**32, description="seed of the split")
    train_limit: int = Field(0, ge=0, description="at most so many photographs train; 0 is no limit")
    validation_limit: int = Field(0, ge=0, description="at most so many photographs validate; 0 is no limit")


class Training(Section):
    """How long and in what precision."""

    epochs: int = Field(50, ge=1, description="passes over the training photographs")
    steps: int | None = Field(None, ge=1, description="stop after so many steps, if that is sooner")
    minutes: float | None = Field(None, gt=0, description="stop after so many minutes, if that is sooner")
    batch: int = Field(8, ge=1, description="pictures a step, over all processes together")
    accumulate: int = Field(
        1, ge=1, le=1024, description="parts in which a batch goes through the networks, to save memory"
    )
    recompute: bool = Field(
        False, description="compute the generator's blocks again in the backward pass, to save memory for time"
    )
    compile: bool = Field(
        False, description="compile the generator by torch.compile: a slow first step; needs a C++ compiler on a CPU"
    )
    precision: Literal["fp64", "fp32", "bf16", "fp16"] = Field("fp32", description="arithmetic of the networks")
    shard: bool = Field(
        False,
        description="spread the generator's weights over the processes, for one that does not fit on a GPU (FSDP); "
        "nothing changes in one process",
    )
    average: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="decay by the step of a running average of the generator's weights (EMA), which is then what is "
        "validated and handed out",
    )
    checkpoint_minutes: float = Field(
        10, ge=0, description="minutes between checkpoints inside an epoch; every epoch ends with one"
    )

    @field_validator("shard")
    @classmethod
    def _without_scale(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("precision") == "fp16":
            raise ValueError("it does not go with precision fp16, whose scale the processes would not share; take bf16")
        return value


class Validation(Section):
    """What is measured and shown after an epoch."""

    every: int = Field(1, ge=1, description="epochs between validations; the last epoch always validates")
    patience: int = Field(
        0, ge=0, description="validations without a better figure after which a run ends; 0 goes to the end"
    )
    previews: int = Field(4, ge=0, le=64, description="validation pictures in the preview: input, restored, truth")
    submit_every: int = Field(
        0, ge=0, description="epochs between submissions; 0 writes one at the end, from the best weights"
    )


class Restoring(Section):
    """How the trained generator restores photographs larger than those that it was trained on."""

    size: int | None = Field(
        None,
        ge=16,
        le=4096,
        description="with keep luma, the short side in pixels at which the colours of a photograph are found; none: "
        "the photograph's own",
    )
    fill: int | None = Field(
        None,
        ge=16,
        le=4096,
        description="side in pixels to which a hole with its surroundings is brought before it is filled, if it is "
        "larger; none: as size",
    )
    tile: int = Field(
        640,
        ge=64,
        le=16384,
        description="side in pixels of the tiles in which a large photograph goes through the generator; less takes "
        "less memory",
    )


class SampleSet(Section):
    """What is different when a run has no --data and uses the package's sample photographs."""

    size: int | None = Field(None, ge=16, description="data.size for the sample")
    repeat: int | None = Field(None, ge=1, description="data.repeat for the sample")
    epochs: int | None = Field(None, ge=1, description="training.epochs for the sample")
    batch: int | None = Field(None, ge=1, description="training.batch for the sample")


class AdamW(Section):
    """Adam with decoupled weight decay (torch.optim.AdamW)."""

    name: Literal["adamw"] = "adamw"
    lr: float = Field(1e-4, gt=0, description="learning rate")
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = Field(
        (0.9, 0.999), description="decay of the running averages of the gradient and of its square"
    )
    eps: float = Field(1e-8, gt=0, description="added to the denominator")
    weight_decay: float = Field(0.01, ge=0, description="decoupled weight decay")


class Adam(AdamW):
    """Adam (torch.optim.Adam)."""

    name: Literal["adam"] = "adam"  # type: ignore[assignment]
    weight_decay: float = Field(0.0, ge=0, description="L2 penalty")


class SGD(Section):
    """Stochastic gradient descent (torch.optim.SGD)."""

    name: Literal["sgd"] = "sgd"
    lr: float = Field(1e-2, gt=0, description="learning rate")
    momentum: float = Field(0.0, ge=0, lt=1, description="momentum")
    weight_decay: float = Field(0.0, ge=0, description="L2 penalty")


Optimizer = Annotated[AdamW | Adam | SGD, Field(discriminator="name")]


class Constant(Section):
    """The learning rate stays as it is."""

    name: Literal["constant"] = "constant"


class Step(Section):
    """The learning rate is multiplied by `factor` every `every` epochs (torch's StepLR)."""

    name: Literal["step"] = "step"
    every: int = Field(10, ge=1, description="epochs between the cuts")
    factor: float = Field(0.5, gt=0, le=1, description="what the learning rate is multiplied by")


class Cosine(Section):
    """The learning rate falls along a cosine over the run's epochs (torch's CosineAnnealingLR)."""

    name: Literal["cosine"] = "cosine"
    final: float = Field(0.0, ge=0, le=1, description="share of the learning rate that is left at the end")


Schedule = Annotated[Constant | Step | Cosine, Field(discriminator="name")]


class Network(Section):
    """What a recipe says of a network besides its params."""

    enabled: bool = Field(True, description="false takes an inherited network out")
    optimizer: Optimizer = Field(AdamW(), description="what moves its weights")
    schedule: Schedule = Field(Constant(), description="how its learning rate changes by the epoch")


class Generator(Network):
    """What a recipe says of the generator besides its params."""

    init: str = Field(
        "",
        pattern=r"^(weights:[a-z][a-z0-9-]*)?$",
        description="the weights that a new run starts from: weights:NAME, a published name; empty for none",
    )


class LossTerm(Section):
    """What a recipe says of a loss besides its params."""

    enabled: bool = Field(True, description="false takes an inherited loss out")
    weight: float = Field(1.0, ge=0, description="what the loss is multiplied by")
    on: str = Field(
        "restored", description="which output it looks at: restored, or an auxiliary output of the generator"
    )


class PenaltyTerm(Section):
    """What a recipe says of a penalty besides its params."""

    enabled: bool = Field(True, description="false takes an inherited penalty out")
    weight: float = Field(1.0, ge=0, description="what the penalty is multiplied by")
    every: int = Field(1, ge=1, description="steps between its uses; its weight is multiplied by this")


class Plain(Section):
    """What a recipe says of a degradation or a metric besides its params."""

    enabled: bool = Field(True, description="false takes an inherited component out")


class Settings(Section):
    """The recipe's tables that hold no component."""

    summary: str = Field("", description="what the recipe is for, in one line")
    seed: int = Field(42, ge=0, lt=2**63, description="seed of the weights, the order, the damage and the penalties")
    keep: Literal["none", "luma", "rgb"] = Field(
        "none",
        description="what outside the lost region comes out unchanged: nothing, the luma of a gray photo, or all",
    )
    data: Data = Field(default_factory=Data, description="which part of a photograph a batch holds")
    split: Split = Field(default_factory=Split, description="training and validation photographs")
    training: Training = Field(default_factory=Training, description="how long and in what precision")
    validation: Validation = Field(default_factory=Validation, description="what is measured after an epoch")
    restoring: Restoring = Field(default_factory=Restoring, description="how photographs are restored")
    sample: SampleSet = Field(default_factory=SampleSet, description="what differs for the sample photographs")
    requires: dict[str, str] = Field(
        default_factory=dict, description="plugins that it needs, and the distribution that brings each"
    )
