"""What has changed in the options of a command."""

from __future__ import annotations

from toolbox.inference.flag_changes import flag_changes


def test_changed_added_and_removed_options_are_named_in_order():
    recorded, now = {"grow": "3", "fill": "auto", "keep": "luma"}, {"fill": "smooth", "keep": "luma", "color": "#fff"}
    assert flag_changes(recorded, now) == "--color default, now #fff; --fill default, now smooth; --grow 3, now default"


def test_equal_options_have_no_changes():
    assert flag_changes({"grow": "3"}, {"grow": "3"}) == ""
