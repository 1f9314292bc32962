"""The tables of a recipe that hold no component, as typed classes.

`toolbox recipe schema` prints the descriptions of the fields, and docs/recipes.md lists the fields.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from toolbox.hooks.params import DetectorRef, FillerRef, PostprocessorRef, Ref
from toolbox.utils.limits import MIN_TILE


def _name_to_table(value: object) -> object:
    """Return the table ``{"name": value}`` for the name of a component, and a table unchanged."""
    if isinstance(value, dict | Ref):
        return value
    if not isinstance(value, str):
        raise PydanticCustomError("name_or_table", "Input should be a name, or a table with its name and params")
    return {"name": value}


DetectWith = Annotated[DetectorRef, BeforeValidator(_name_to_table, json_schema_input_type=str | DetectorRef)]
FillWith = Annotated[FillerRef, BeforeValidator(_name_to_table, json_schema_input_type=str | FillerRef)]

PostProcess = Annotated[
    PostprocessorRef, BeforeValidator(_name_to_table, json_schema_input_type=str | PostprocessorRef)
]


class Table(BaseModel):
    """Base class of every table of a recipe: frozen; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Data(Table):
    """Size and number of the training samples, and how they are loaded."""

    size: int = Field(512, ge=16, le=4096, description="side of the square training pictures, in pixels")
    zoom: float = Field(
        1.0,
        ge=1,
        le=8,
        description="crops of photographs are taken at a random zoom between 1x, the whole short side, and this factor",
    )
    repeat: int = Field(1, ge=1, description="samples of each photograph in an epoch, each with new damage")
    workers: int = Field(0, ge=0, le=64, description="threads that load data; 0 loads between the steps")
    cache: bool = Field(True, description="keep decoded photographs on disk, so that each is decoded only once")


class Split(Table):
    """How photographs are split into training and validation."""

    method: Literal["random", "scene"] = Field(
        "random",
        description="random: as scikit-learn's train_test_split; scene: bursts and overlapping crops stay together",
    )
    validation: float = Field(0.2, gt=0, lt=1, description="fraction of the photographs used for validation")
    seed: int = Field(42, ge=0, lt=2**32, description="seed of the split")
    folds: int = Field(
        0, ge=0, le=1000, description="number of folds for cross-validation, as scikit-learn's KFold; 0 for no folds"
    )
    fold: int = Field(1, ge=1, description="with folds, the one that is used for validation, from 1")
    validation_data: str = Field(
        "", description="data folder of the validation photographs; all others are then for training; empty: split"
    )
    train_limit: int = Field(0, ge=0, description="maximum number of training photographs; 0 for no limit")
    validation_limit: int = Field(0, ge=0, description="maximum number of validation photographs; 0 for no limit")

    @field_validator("folds")
    @classmethod
    def _refuse_one_fold(cls, value: int) -> int:
        if value == 1:
            raise ValueError("one fold leaves nothing to train on; use 0, or at least 2")
        return value

    @field_validator("fold")
    @classmethod
    def _refuse_missing_fold(cls, value: int, info: ValidationInfo) -> int:
        if value > max(1, info.data.get("folds", value)):
            raise ValueError(f"there is no such fold; split.folds is {info.data['folds']}")
        return value

    @field_validator("validation_data")
    @classmethod
    def _refuse_folds(cls, value: str, info: ValidationInfo) -> str:
        if value and info.data.get("folds"):
            raise ValueError("it can't be combined with split.folds; leave one out")
        return value


class Training(Table):
    """Length, batch size and precision of the training."""

    epochs: int = Field(50, ge=1, description="passes over the training photographs")
    steps: int | None = Field(None, ge=1, description="stop after this many steps, if that is earlier")
    minutes: float | None = Field(None, gt=0, description="stop after this many minutes, if that is earlier")
    batch: int = Field(8, ge=1, description="pictures per step, over all processes together")
    accumulate: int = Field(
        1, ge=1, le=1024, description="number of micro-batches that each batch is split into, to save memory"
    )
    recompute: bool = Field(
        False, description="recompute the generator's activations in the backward pass: less memory, more time"
    )
    compile: bool = Field(
        False, description="compile the generator with torch.compile: a slow first step; a CPU needs a C++ compiler"
    )
    precision: Literal["fp64", "fp32", "bf16", "fp16"] = Field("fp32", description="arithmetic of the networks")
    memory_format: Literal["auto", "channels-last", "contiguous"] = Field(
        "auto",
        description="memory layout of networks and pictures; auto measures once which one trains faster on this device",
    )
    shard: bool = Field(
        False,
        description="shard the generator's weights over the processes (FSDP), for a generator that does not fit on "
        "one GPU; no effect in a single process",
    )
    average: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="decay per step of an exponential moving average (EMA) of the generator's weights; if set, the "
        "average is what is validated and saved for restoring",
    )
    checkpoint_minutes: float = Field(
        10, ge=0, description="minutes between checkpoints within an epoch; every epoch also ends with one"
    )

    @field_validator("shard")
    @classmethod
    def _refuse_fp16(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("precision") == "fp16":
            raise ValueError(
                "it can't be combined with precision fp16, because the processes would not share one loss scale; "
                "use bf16"
            )
        return value


class Validation(Table):
    """When validation runs, and what it writes."""

    every: int = Field(1, ge=1, description="epochs between validations; the last epoch is always validated")
    choose_by: str = Field(
        "score", description="what chooses the best weights: score, loss, or the label of a metric in [metrics]"
    )
    patience: int = Field(
        0, ge=0, description="stop after this many validations without improvement; 0 never stops early"
    )
    previews: int = Field(4, ge=0, le=64, description="validation pictures in the preview: input, restored, truth")
    submit_every: int = Field(
        0, ge=0, description="epochs between submissions; 0 writes one at the end, with the best weights"
    )
    report: bool = Field(True, description="write report.html in the run folder after the epochs and at the end")


class Restoring(Table):
    """How photographs are restored with the trained generator, also those larger than its training pictures."""

    detector: DetectWith | None = Field(
        None,
        description="the detector that finds lost regions: its name, or a table with its name and params; none: "
        "painted-shape",
    )
    fill_with: FillWith | None = Field(
        None,
        description="the filler that fills lost regions before the colours are found: its name, or a table with its "
        "name and params; network, or none: the generator fills them",
    )

    size: int | None = Field(
        None,
        ge=16,
        le=4096,
        description="with keep luma, the short side in pixels at which colours are predicted; none: the size of the "
        "photograph",
    )
    post: tuple[PostProcess, ...] | None = Field(
        None,
        description="the post-processors of the result, in this order: a list of names, or of tables with a name and "
        "params",
    )
    network_fill_size: int | None = Field(
        None,
        ge=16,
        le=4096,
        description="side in pixels, if the generator fills: a hole with its surroundings that is larger is scaled "
        "down to it before the hole is filled; none: as size",
    )
    tile: int = Field(
        640,
        ge=MIN_TILE,
        le=16384,
        description="side in pixels of the tiles in which a large photograph is restored; smaller tiles need less "
        "memory",
    )


class SampleSet(Table):
    """Settings that differ when a run has no --data and uses the sample photographs of the package."""

    size: int | None = Field(None, ge=16, description="data.size for the sample photographs")
    repeat: int | None = Field(None, ge=1, description="data.repeat for the sample photographs")
    epochs: int | None = Field(None, ge=1, description="training.epochs for the sample photographs")
    batch: int | None = Field(None, ge=1, description="training.batch for the sample photographs")


class Settings(Table):
    """All tables and keys of a recipe that hold no component."""

    summary: str = Field("", description="the purpose of the recipe, in one line")
    seed: int = Field(42, ge=0, lt=2**63, description="seed of the weights, the order, the damage and the penalties")
    keep: Literal["none", "luma", "rgb"] = Field(
        "none",
        description="what stays unchanged outside the lost region: nothing, the luma of a gray photograph, or all",
    )
    data: Data = Field(default_factory=Data, description="training samples")
    split: Split = Field(default_factory=Split, description="training and validation photographs")
    training: Training = Field(default_factory=Training, description="length, batch size and precision")
    validation: Validation = Field(default_factory=Validation, description="validation after an epoch")
    restoring: Restoring = Field(default_factory=Restoring, description="how photographs are restored")
    sample: SampleSet = Field(default_factory=SampleSet, description="what differs for the sample photographs")
    requires: dict[str, str] = Field(
        default_factory=dict, description="plugins that the recipe needs, and the distribution of each"
    )
