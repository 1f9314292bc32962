"""The example of each kind that `toolbox plugin new` can write; its code is in ``templates/KIND.py.in``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Example:
    """The parts of the templates that differ from one kind of component to another.

    Attributes:
        protocol: the protocol in `toolbox` that the component implements, or the class of torch that it is.
        summary: the component's line in `toolbox list`.
        reference: what the component follows.
        param: the field of its params.
        factory: what `build` imports from the component's file.
        call: the expression with which `build` makes the component.
        tables: the tables of a recipe that uses the component; ``$name`` is its name.
        spec_argument: one more argument of its spec, or an empty string.
        arguments: what `build` gets besides the params, as it is written in the parameter list.
        names: further names that plugin.py imports from `toolbox`.
        typing_imports: the lines that import what only annotations name; then `protocol` is not from `toolbox`.
    """

    protocol: str
    summary: str
    reference: str
    param: str
    factory: str
    call: str
    tables: str
    spec_argument: str = ""
    arguments: str = ""
    names: tuple[str, ...] = ()
    typing_imports: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CommandExample:
    """What the templates ``command_*`` say: the name of the command, and its summary."""

    command: str
    summary: str


COMMAND = CommandExample(command="size", summary="Print the size of photographs")

EXAMPLES = {
    "generator": Example(
        protocol="Generator",
        summary="Four dilated convolutions over the image and the mask",
        reference="Yu and Koltun, Multi-Scale Context Aggregation by Dilated Convolutions, ICLR 2016",
        param='width: int = Field(32, ge=1, le=1024, description="Channels of each convolution.")',
        factory="Network",
        call="Network(params.width)",
        tables='[generator]\nname = "$name"\nwidth = 32',
    ),
    "discriminator": Example(
        protocol="Discriminator",
        summary="PatchGAN of three strided convolutions, conditioned on the damaged image",
        reference="Isola et al., Image-to-Image Translation with Conditional Adversarial Networks, CVPR 2017",
        param='width: int = Field(32, ge=1, le=256, description="Channels of the first convolution.")',
        factory="Network",
        call="Network(params.width)",
        tables='[discriminator]\nname = "$name"\nwidth = 32',
    ),
    "loss": Example(
        protocol="ReconstructionLoss",
        summary="Charbonnier loss: close to the absolute difference, and smooth at 0",
        reference="Charbonnier et al., Two Deterministic Half-Quadratic Regularization Algorithms, ICIP 1994",
        param='eps: float = Field(1e-3, gt=0, le=1, description="Below this difference the loss is quadratic.")',
        factory="make_loss",
        call="make_loss(params.eps)",
        tables="[losses.$name]\nweight = 10\neps = 1e-3\n\n[losses.mse]\nenabled = false",
    ),
    "penalty": Example(
        protocol="Penalty",
        summary="Squared gradient of the discriminator around real pictures",
        reference="Mescheder et al., Which Training Methods for GANs Do Actually Converge?, ICML 2018 (R1)",
        param='noise: float = Field(0.05, ge=0, le=1, description="Amplitude of the noise added to real pictures.")',
        factory="make_penalty",
        call="make_penalty(params.noise)",
        tables="[penalties.$name]\nweight = 5\nnoise = 0.05\n\n[penalties.gradient]\nenabled = false",
    ),
    "degradation": Example(
        protocol="Degradation",
        summary="Slanted light scratches over the photograph",
        reference="Kokaram, Motion Picture Restoration, Springer 1998 (line scratches)",
        param='max_count: int = Field(4, ge=1, le=64, description="Greatest number of scratches in a photograph.")',
        factory="make_degradation",
        call="make_degradation(params.max_count)",
        tables="[degradations.$name]\nmax_count = 4",
        spec_argument='kinds=("scratch",),',
    ),
    "metric": Example(
        protocol="Metric",
        summary="Mean absolute error, 0 to 255",
        reference="mean |restored - truth|",
        param='lost_only: bool = Field(True, description="Whether it measures only the lost region.")',
        factory="make_metric",
        call="make_metric(params.lost_only)",
        tables="[metrics.$name]\nlost_only = true",
        spec_argument='better="lower",',
    ),
    "detector": Example(
        protocol="Detector",
        summary="Light scratches and dust: thin marks that are brighter than their surroundings",
        reference="Top-hat transform; Serra, Image Analysis and Mathematical Morphology, 1982",
        param='contrast: int = Field(40, ge=1, le=255, description="Least contrast of a mark, in levels of 255.")',
        factory="make_detector",
        call="make_detector(params.contrast)",
        tables='[restoring.detector]\nname = "$name"\ncontrast = 40',
        spec_argument='kinds=("scratch",),',
    ),
    "postprocessor": Example(
        protocol="Postprocessor",
        summary="Sharpen the lost region by an unsharp mask",
        reference="Unsharp masking; Gonzalez and Woods, Digital Image Processing",
        param='amount: float = Field(0.5, ge=0, le=3, description="Strength of the sharpening.")',
        factory="make_postprocessor",
        call="make_postprocessor(params.amount)",
        tables='[restoring]\npost = [{ name = "$name", amount = 0.5 }]',
    ),
    "filler": Example(
        protocol="Filler",
        summary="Mean of the known pixels nearby, weighted by a Gaussian",
        reference="Knutsson and Westin, Normalized and Differential Convolution, CVPR 1993",
        param='radius: float = Field(12, gt=0, le=200, description="Standard deviation of the Gaussian, in pixels.")',
        factory="make_filler",
        call="make_filler(params.radius)",
        tables='[restoring.fill_with]\nname = "$name"\nradius = 12',
    ),
    "source": Example(
        protocol="Source",
        summary="Photographs that a text file lists, one path a line",
        reference="an example",
        param='comment: str = Field("#", min_length=1, description="Lines that begin with it are skipped.")',
        factory="make_source",
        call="make_source(location, params.comment)",
        tables='[source]\nname = "$name"\ncomment = "#"',
    ),
    "step": Example(
        protocol="TrainingStep",
        summary="The reconstruction losses, and the same result for a mirrored picture",
        reference="Laine and Aila, Temporal Ensembling for Semi-Supervised Learning, ICLR 2017 (the Pi model)",
        param='weight_of_mirror: float = Field(1.0, ge=0, le=100, description="Factor of the difference.")',
        factory="make_step",
        call="make_step(params.weight_of_mirror)",
        tables=(
            '[step]\nname = "$name"\nweight_of_mirror = 1.0\n\n[losses.lsgan]\nenabled = false\n\n'
            "[penalties.gradient]\nenabled = false\n\n[discriminator]\nenabled = false"
        ),
        spec_argument="uses_discriminator=False,",
    ),
    "observer": Example(
        protocol="Observer",
        summary="Writes a line per epoch into a text file of the run folder",
        reference="by hand",
        param='file: str = Field("epochs.txt", description="Name of the file in the run folder.")',
        factory="EpochLog",
        call="EpochLog(params.file)",
        tables='[observers.$name]\nfile = "epochs.txt"',
    ),
    "optimizer": Example(
        protocol="Optimizer",
        summary="Sign of an average of the gradients",
        reference="Bernstein et al., signSGD: Compressed Optimisation for Non-Convex Problems, ICML 2018 (Signum)",
        param='lr: float = Field(1e-5, gt=0, description="Learning rate.")',
        factory="Signum",
        call="Signum(weights, params.lr)",
        tables='[generator.optimizer]\nname = "$name"\nlr = 1e-5',
        arguments=", weights: list[nn.Parameter]",
        typing_imports=("from torch import nn", "from torch.optim import Optimizer"),
    ),
    "schedule": Example(
        protocol="LRScheduler",
        summary="Inverse square root of the number of steps",
        reference="Vaswani et al., Attention Is All You Need, NeurIPS 2017",
        param='constant: int = Field(100, ge=1, description="Steps in which the learning rate is nearly constant.")',
        factory="make_schedule",
        call="make_schedule(optimizer, params.constant)",
        tables='[generator.schedule]\nname = "$name"\nconstant = 100\nwarmup_steps = 10',
        spec_argument='cadence="step",',
        arguments=", optimizer: Optimizer, horizon: Horizon",
        names=("Horizon",),
        typing_imports=("from torch.optim import Optimizer", "from torch.optim.lr_scheduler import LRScheduler"),
    ),
}
