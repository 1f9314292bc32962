"""The conformance kit: checks that a component keeps its contract.

For plugin authors, in a test of one line, and for `toolbox plugin check`:

    from toolbox.testing import assert_conforms, assert_plugin_conforms

    def test_my_loss():
        assert_conforms(my_plugin.SPEC, weight_of_edges=0.5)

    def test_my_plugin():
        assert_plugin_conforms(my_plugin)

A broken contract is a failed check, and its message says what to do. A design choice of the author is a note.
`examples` has the pictures, masks and photographs that the kit uses.
"""

from __future__ import annotations

from toolbox.testing import examples
from toolbox.testing.checks import Check
from toolbox.testing.components import (
    assert_conforms,
    assert_plugin_conforms,
    check_component,
    check_plugin,
)
from toolbox.testing.table import table

__all__ = [
    "Check",
    "assert_conforms",
    "assert_plugin_conforms",
    "check_component",
    "check_plugin",
    "examples",
    "table",
]
