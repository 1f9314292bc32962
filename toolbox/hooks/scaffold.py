"""`toolbox plugin new`: a small package with a plugin that works, out of the templates beside this file."""

from __future__ import annotations

import importlib.util
import keyword
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Template

from toolbox import __version__
from toolbox.errors import UsageError
from toolbox.hooks import catalog, hookspecs
from toolbox.hooks.specs import KINDS, NAME, plural
from toolbox.utils import files

TEMPLATES = Path(__file__).with_name("templates")


@dataclass(frozen=True, kw_only=True)
class Example:
    """What the templates say of one kind of component.

    Attributes:
        contract: what `build` returns.
        summary: the component's line in `toolbox list`.
        reference: what it follows.
        param: the field of its params.
        made: what `build` imports from the component's file.
        call: how `build` makes the component.
        tables: how a recipe that extends the default takes it in.
        more: another argument of its spec.
    """

    contract: str
    summary: str
    reference: str
    param: str
    made: str
    call: str
    tables: str
    more: str = ""


EXAMPLES = {
    "generator": Example(
        contract="Generator",
        summary="Four dilated convolutions over the image and the mask",
        reference="Yu and Koltun, Multi-Scale Context Aggregation by Dilated Convolutions, ICLR 2016",
        param='width: int = Field(32, ge=1, le=1024, description="Channels of each convolution.")',
        made="Network",
        call="Network(params.width)",
        tables='[generator]\nname = "$name"\nwidth = 32',
    ),
    "discriminator": Example(
        contract="Discriminator",
        summary="PatchGAN of three strided convolutions that sees the damaged image too",
        reference="Isola et al., Image-to-Image Translation with Conditional Adversarial Networks, CVPR 2017",
        param='width: int = Field(32, ge=1, le=256, description="Channels of the first convolution.")',
        made="Network",
        call="Network(params.width)",
        tables='[discriminator]\nname = "$name"\nwidth = 32',
    ),
    "loss": Example(
        contract="ReconstructionLoss",
        summary="Charbonnier's: nearly the absolute difference, and smooth at 0",
        reference="Charbonnier et al., Two Deterministic Half-Quadratic Regularization Algorithms, ICIP 1994",
        param='eps: float = Field(1e-3, gt=0, le=1, description="Where it turns from a square to an absolute value.")',
        made="loss",
        call="loss(params.eps)",
        tables="[losses.$name]\nweight = 10\neps = 1e-3\n\n[losses.mse]\nenabled = false",
    ),
    "penalty": Example(
        contract="Penalty",
        summary="Squared gradient of the discriminator around real pictures",
        reference="Mescheder et al., Which Training Methods for GANs Do Actually Converge?, ICML 2018 (R1)",
        param='noise: float = Field(0.05, ge=0, le=1, description="How far around the real pictures it looks.")',
        made="penalty",
        call="penalty(params.noise)",
        tables="[penalties.$name]\nweight = 5\nnoise = 0.05\n\n[penalties.gradient]\nenabled = false",
    ),
    "degradation": Example(
        contract="Degradation",
        summary="Slanted light scratches over the photograph",
        reference="Kokaram, Motion Picture Restoration, Springer 1998 (line scratches)",
        param='most: int = Field(4, ge=1, le=64, description="Most scratches; 1 to so many are drawn.")',
        made="degradation",
        call="degradation(params.most)",
        tables="[degradations.$name]\nmost = 4",
    ),
    "metric": Example(
        contract="Metric",
        summary="Mean absolute error, 0 to 255",
        reference="mean |restored - truth|",
        param='lost: bool = Field(True, description="Whether it looks at the lost region alone.")',
        made="metric",
        call="metric(params.lost)",
        tables="[metrics.$name]\nlost = true",
        more='better="lower",',
    ),
}


def write(name: str, kind: str, out: Path) -> Path:
    """Write the package `name` into the folder `out`, whole or not at all.

    Args:
        name: of the package, its plugin, its component and its recipe: lower-case words joined by hyphens.
        kind: what it brings, a key of `EXAMPLES`.
        out: the folder to write it into, made if it is not there.

    Returns:
        The folder ``out / name``.

    Raises:
        UsageError: the name can't be had, or there is such a folder already.
        OutputError: it can't be written.
    """
    module = _module(name, kind)
    target = out / name
    if target.exists() or target.is_symlink():
        raise UsageError(f"{target} is there already; choose another name, or another folder with --out.")
    files.ensure_folder(out)

    def fill(folder: Path) -> None:
        for path, text in _texts(name, module, kind):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, "utf-8")

    files.write_folder(target, fill)
    return target


def _module(name: str, kind: str) -> str:
    """Return the name of the Python package, or raise UsageError for a name that can't be had."""
    other = "Choose another name."
    if not NAME.fullmatch(name):
        raise UsageError(f"'{name}' is not lower-case words joined by hyphens, as in edge-loss. {other}")
    module = name.replace("-", "_")
    if keyword.iskeyword(module) or keyword.issoftkeyword(module):
        raise UsageError(f"'{name}' is a word of Python's own. {other}")
    if module in sys.stdlib_module_names or importlib.util.find_spec(module) is not None:
        raise UsageError(f"The Python package '{module}' is installed already, and one would hide the other. {other}")
    # What ships is what every user of the new plugin has; nobody else's plugins need to be imported for this.
    taken = catalog.load(third_party=False)
    for entry in [*taken.entries(kind), *taken.entries("recipe")]:
        if entry.spec.name == name:
            raise UsageError(f"A {entry.kind} '{name}' ships with toolbox, in the plugin '{entry.plugin}'. {other}")
    if name in {record.name for record in taken.plugins}:
        raise UsageError(f"A plugin '{name}' ships with toolbox. {other}")
    return module


def _texts(name: str, module: str, kind: str) -> Iterator[tuple[str, str]]:
    """Yield each file's path in the package and its text."""
    example = EXAMPLES[kind]
    spec = KINDS[kind].__name__
    slots = {
        "name": name,
        "module": module,
        "kind": kind,
        "kinds": plural(kind),
        "spec": spec,
        "imports": ", ".join(sorted({example.contract, spec, "Field", "Params", "RecipeSpec"})),
        "api": hookspecs.HOOK_API,
        "version": __version__,
        **{field: getattr(example, field) for field in ("contract", "summary", "reference", "param", "made", "call")},
        "more": f"\n            {example.more}" if example.more else "",
        "tables": Template(example.tables).substitute(name=name),
    }
    package = f"src/{module}"
    for path, template in (
        ("pyproject.toml", "pyproject.toml"),
        ("README.md", "README.md"),
        (f"{package}/__init__.py", "__init__.py"),
        (f"{package}/plugin.py", "plugin.py"),
        (f"{package}/{kind}.py", f"{kind}.py"),
        (f"{package}/recipes/{name}.toml", "recipe.toml"),
        (f"tests/test_{module}.py", "test.py"),
    ):
        yield path, Template((TEMPLATES / f"{template}.in").read_text("utf-8")).substitute(slots)
