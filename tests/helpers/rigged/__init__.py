"""Components, each with one promise broken: what the conformance kit is tried on."""

from rigged.discriminators import DISCRIMINATORS
from rigged.generators import GENERATORS
from rigged.losses import ADVERSARIAL, LOSSES
from rigged.penalties import PENALTIES
from rigged.pictures import DEGRADATIONS, METRICS

BROKEN = [*GENERATORS, *DISCRIMINATORS, *LOSSES, *ADVERSARIAL, *PENALTIES, *DEGRADATIONS, *METRICS]

__all__ = ["BROKEN"]
