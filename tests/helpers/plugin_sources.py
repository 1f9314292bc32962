"""Sources of plugin files that work, and of ones that break."""

from __future__ import annotations

GOOD = """
from toolbox import LossSpec, hookimpl

@hookimpl
def toolbox_losses():
    return [LossSpec(name="{loss}", summary="A loss", build=lambda params: None)]
"""

# A loss with a param of a type.
WITH_PARAM = """
from __future__ import annotations
from typing import TYPE_CHECKING
from toolbox import Field, LossSpec, Params, hookimpl
if TYPE_CHECKING:
    from collections.abc import Sequence
{before}
class P(Params):
    field: {type} = Field(None, description="x")
    other: int = Field(3, ge=1, description="y")

@hookimpl
def toolbox_losses():
    return [LossSpec(name="typed", summary="x", build=lambda params: None, params=P)]
"""


# What breaks, the plugin's source, and what the cause must say.
BROKEN = {
    "raises at import": ("raise RuntimeError('no luck')", "import failed: RuntimeError: no luck"),
    "ends the program at import": ("import sys; sys.exit(3)", "SystemExit"),
    "syntax error": ("def (", "SyntaxError"),
    "missing dependency": ("import surely_absent.part", "pip install surely_absent"),
    "argument in a hook": (
        "from toolbox import hookimpl\n@hookimpl\ndef toolbox_losses(catalog): return []",
        "toolbox_losses(catalog) takes arguments",
    ),
    "a hook of no kind": (
        "from toolbox import hookimpl\n@hookimpl\ndef toolbox_trackers(): return []",
        "toolbox_trackers is not a hook. Hooks: toolbox_",
    ),
    "a param that pydantic uses": (
        "import warnings\nfrom toolbox import Field, LossSpec, Params, hookimpl\n"
        "with warnings.catch_warnings():\n    warnings.simplefilter('ignore')\n"
        "    class P(Params):\n        copy: int = Field(1, description='x')\n"
        "@hookimpl\ndef toolbox_losses(): return [LossSpec(name='new', summary='x', params=P, build=print)]",
        "have names that pydantic uses: copy; choose other names",
    ),
    "a param called model_config": (
        "from toolbox import Field, LossSpec, Params, hookimpl\n"
        "class P(Params):\n    model_config: str = Field('a', description='x')\n",
        "TypeError: P has a param called model_config, a name that pydantic uses; choose another name",
    ),
    "a param with an alias": (
        "from toolbox import Field, LossSpec, Params, hookimpl\n"
        "class P(Params):\n    eps: float = Field(1e-3, alias='epsilon', description='x')\n"
        "@hookimpl\ndef toolbox_losses(): return [LossSpec(name='new', summary='x', params=P, build=print)]",
        "params of 'new' have aliases, which recipes don't use: eps; remove the alias, or set populate_by_name",
    ),
    "an infinite default": (
        "from toolbox import Field, LossSpec, Params, hookimpl\n"
        "class P(Params):\n    eps: float = Field(float('inf'), description='x')\n"
        "@hookimpl\ndef toolbox_losses(): return [LossSpec(name='new', summary='x', params=P, build=print)]",
        "have defaults that no recipe can have, inf or NaN: eps",
    ),
    "a dict as the default of a model": (
        "from toolbox import Field, LossRef, LossSpec, Params, hookimpl\n"
        "class P(Params):\n    inner: LossRef = Field({'name': 'mse'}, description='x')\n"
        "@hookimpl\ndef toolbox_losses(): return [LossSpec(name='new', summary='x', params=P, build=print)]",
        "params of 'new' have a dict as the default of a model: inner; create the model, as in LossRef(name=\"mse\")",
    ),
    "misspelt hooks": (
        "from toolbox import hookimpl\n@hookimpl\ndef toolbox_loses(): return []\n"
        "@hookimpl\ndef toolbox_penaltys(): return []",
        "toolbox_loses is not a hook. Did you mean 'toolbox_losses'?",
    ),
    "no marker": ("def toolbox_losses(): return []", "toolbox_losses has no @hookimpl"),
    "no hooks": ("x = 1", "it has no hooks"),
    "a wrapper": (
        "from toolbox import hookimpl\n@hookimpl(wrapper=True)\ndef toolbox_losses():\n    return (yield)",
        "is a hook wrapper",
    ),
    "a generator": (
        "from toolbox import hookimpl\n@hookimpl\ndef toolbox_losses():\n    yield 1",
        "is a generator function; return a list",
    ),
    "an async hook": (
        "from toolbox import hookimpl\n@hookimpl\nasync def toolbox_losses(): return []",
        "is an async function; return a list from a plain one",
    ),
    "wrong type": (
        "from toolbox import hookimpl\n@hookimpl\ndef toolbox_losses(): return {'a': 1}",
        "toolbox_losses returned dict, not a list of LossSpec",
    ),
    "wrong item": (
        "from toolbox import hookimpl\n@hookimpl\ndef toolbox_losses(): return ['mse']",
        "a list with str, not LossSpec",
    ),
    "raises in a hook": (
        "from toolbox import hookimpl\n@hookimpl\ndef toolbox_losses(): raise KeyError('x')",
        "toolbox_losses raised KeyError",
    ),
    "ends the program in a hook": (
        "from toolbox import hookimpl\n@hookimpl\ndef toolbox_losses(): raise SystemExit(1)",
        "toolbox_losses raised SystemExit",
    ),
    "a second hook raises": (
        GOOD.format(loss="half") + "\n@hookimpl\ndef toolbox_metrics(): raise ValueError('late')",
        "toolbox_metrics raised ValueError: late",
    ),
    "a spec that is none": (
        "from toolbox import LossSpec, hookimpl\n@hookimpl\ndef toolbox_losses():\n"
        "    return [LossSpec(name='Bad Name', summary='x', build=print)]",
        "'Bad Name' is not lower-case words",
    ),
    "a name twice": (GOOD.format(loss="twin").replace("[LossSpec", "2 * [LossSpec"), "returns loss 'twin' twice"),
    "a taken name": (GOOD.format(loss="mse"), "loss 'mse' exists already in the plugin 'default'"),
    "another API": (
        "TOOLBOX_API = 99\n" + GOOD.format(loss="new"),
        "written for hook API 99, this toolbox has 1: update",
    ),
    "an API that is a text": (
        "TOOLBOX_API = '1'\n" + GOOD.format(loss="new"),
        "TOOLBOX_API is '1'; it must be a whole number, such as TOOLBOX_API = 1",
    ),
    "a param of a type for type checkers only": (
        WITH_PARAM.format(before="", type="Sequence[int]"),
        "params of 'typed' (field) have a type that is not known when the plugin runs, Sequence: correct the name",
    ),
    "a param of a type that can't be checked": (
        WITH_PARAM.format(before="", type="Later | None") + "class Later: pass\n",
        "a type of the params of 'typed' can't be used: PydanticSchemaGenerationError",
    ),
}
