"""The types and functions for code of a training step. docs/hooks/steps.md describes it."""

from __future__ import annotations

from toolbox.data.batch import Batch
from toolbox.training.adversarial_step import adversarial_step
from toolbox.training.step_context import StepContext

__all__ = ["Batch", "StepContext", "adversarial_step"]
