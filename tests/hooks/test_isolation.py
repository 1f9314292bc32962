"""Plugins that print or change the process: their output goes to stderr, and the changes are put back and named."""

from __future__ import annotations

import importlib
import io
import json
import os
import subprocess
import sys
import warnings

import pytest
import rich.console
from catalogs import plugin, registries
from commands import invoke, plugin_status, run_python
from rich.progress import Progress

from toolbox import LossSpec
from toolbox.config.binding import bind_component
from toolbox.hooks import blame, catalog, manager
from toolbox.hooks.isolation import PluginWarning, isolated
from toolbox.hooks.manager import Candidate, PluginRecord
from toolbox.hooks.plugin_output import component_output_to_stderr
from toolbox.hooks.process_settings import SETTINGS
from toolbox.models.build import build_component
from toolbox.testing import check_component

LOUD = """
import os, subprocess, sys
from toolbox import LossSpec, hookimpl
print("python at import")
os.write(1, b"a C library at import\\n")
subprocess.run([sys.executable, "-S", "-c", "print('a child process')"])

def build(params):
    print("python in build")
    return lambda restored, truth, mask: restored.mean()

@hookimpl
def toolbox_losses():
    print("python in a hook")
    return [LossSpec(name="loud", summary="s", build=build)]
"""


def test_what_a_plugin_prints_goes_to_stderr(tmp_path, capfd):
    (tmp_path / "loud.py").write_text(LOUD)
    invoke("plugin", "add", "loud.py")
    for command in (["list", "--json"], ["plugins", "--json"], ["show", "loss", "loud", "--json"]):
        json.loads(invoke(*command).stdout)
    capfd.readouterr()
    build_component(bind_component(catalog.load(), "loss", "loud", {}))
    out, err = capfd.readouterr()
    assert out == ""
    for words in ("python at import", "a C library at import", "a child process", "python in a hook", "in build"):
        assert words in err


def test_what_a_component_prints_is_shown_above_a_progress_bar():
    terminal = io.StringIO()
    console = rich.console.Console(file=terminal, force_terminal=True, width=60)
    with component_output_to_stderr(), Progress(console=console, redirect_stdout=False) as bars:
        bars.add_task("training", total=3)
        bars.refresh()
        blame.call(None, print, "hello")
    shown = terminal.getvalue().split("hello")
    assert len(shown) == 2 and shown[0].endswith("\x1b[2K")  # the line of the bar was erased before


def test_what_a_component_prints_in_a_call_goes_to_stderr(capsys):
    with component_output_to_stderr():
        print("a result")
        blame.call(None, print, "noise")
        with pytest.raises(ZeroDivisionError):
            blame.call(None, lambda: 1 / 0)
        print("another result")
    assert capsys.readouterr() == ("a result\nanother result\n", "noise\n")


WRITES = """
import os, subprocess, sys
from toolbox.hooks.plugin_output import component_output_to_stderr, program_stdout
print("before")
with component_output_to_stderr():
    print("a result")
    os.write(1, b"a C library\\n")
    subprocess.run([sys.executable, "-c", "print('a child')"])
    with program_stdout():
        os.write(1, b"a command of a plugin\\n")
    print("another result")
os.write(1, b"after\\n")
"""


def test_what_c_libraries_and_children_print_in_a_call_goes_to_stderr():
    done = subprocess.run([sys.executable, "-c", WRITES], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == ["before", "a result", "a command of a plugin", "another result", "after", ""]
    assert done.stderr.split("\n") == ["a C library", "a child", ""]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
@pytest.mark.parametrize("target", ["/dev/full", "closed"])
def test_a_stdout_that_fails_ends_a_command_as_before(target):
    command = f"{sys.executable} -m toolbox list losses " + ("> /dev/full" if target == "/dev/full" else ">&-")
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    if target == "/dev/full":
        assert done.returncode == 1 and "the output can't be written: No space left" in done.stderr


LATE = """
import atexit, io, sys, threading, time
from toolbox import LossSpec, hookimpl
{start}

def talk():
    while True:
        print("from a thread")
        time.sleep(0.01)

@hookimpl
def toolbox_losses():
    threading.Thread(target=talk, daemon=True).start()
    return [LossSpec(name="late", summary="s", build=lambda params: lambda restored, truth, mask: restored.mean())]
"""
STARTS = {
    "a thread and the end": "atexit.register(lambda: print('at the end'))",
    "a wrapper of stdout": "sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding='utf-8')",
    "a wrapper of stderr": "sys.stderr = io.TextIOWrapper(sys.stderr.buffer, encoding='utf-8')",
}


@pytest.mark.parametrize("case", STARTS)
def test_output_of_threads_and_at_the_end_leaves_stdout_to_the_results(case, tmp_path):
    (tmp_path / "late.py").write_text(LATE.format(start=STARTS[case]), "utf-8")

    def run(*words):  # in another process, because its thread never ends
        return subprocess.run([sys.executable, "-m", "toolbox", *words], capture_output=True, text=True)

    run("plugin", "add", str(tmp_path / "late.py"))
    done = run("list", "losses", "--json")
    assert json.loads(done.stdout) and "from a thread" in done.stderr and "Traceback" not in done.stderr
    if case == "a thread and the end":
        assert "at the end" in done.stderr
    else:
        assert f"changed sys.{case.split()[-1]} when it was loaded, which was put back" in done.stderr


CHANGES = {
    "the working folder": "import os; os.chdir('/')",
    "Python's random numbers": "import random; random.seed(0)",
    "the recursion limit": "import sys; sys.setrecursionlimit(4321)",
    "sys.excepthook": "import sys; sys.excepthook = print",
    "the level below which logging is off": "import logging; logging.disable(50)",
    "the environment variable TOOLBOX_HOME": "import os; os.environ['TOOLBOX_HOME'] = '/elsewhere'",
    "the environment variable CUDA_VISIBLE_DEVICES": "import os; os.environ['CUDA_VISIBLE_DEVICES'] = '7'",
    "the handler of SIGTERM": "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)",
    "NumPy's random numbers": "import numpy; numpy.random.seed(0)",
    "NumPy's error handling": "import numpy; numpy.seterr(all='raise')",
    "torch's default dtype": "import torch; torch.set_default_dtype(torch.float64)",
    "torch's default device": "import torch; torch.set_default_device('meta')",
    "torch's number of threads": "import torch; torch.set_num_threads(3)",
    "torch's gradient mode": "import torch; torch.set_grad_enabled(False)",
    "torch's autocast": "import torch; torch.set_autocast_enabled('cpu', True)",
    "torch's precision of matrix products": "import torch; torch.set_float32_matmul_precision('medium')",
    "OpenCV's number of threads": "import cv2; cv2.setNumThreads(3)",
    "the umask": "import os; os.umask(0o777)",
    "the command line": "import sys; sys.argv[:] = ['other']",
    "the garbage collection": "import gc; gc.disable()",
    "torch's deterministic algorithms": "import torch; torch.use_deterministic_algorithms(True)",
    "torch's search for anomalies": "import torch; torch.autograd.set_detect_anomaly(True)",
    "cuDNN's benchmark": "import torch; torch.backends.cudnn.benchmark = True",
    "Pillow's limit of pixels": "import PIL.Image; PIL.Image.MAX_IMAGE_PIXELS = None",
    "Pillow's handling of truncated images": "import PIL.ImageFile; PIL.ImageFile.LOAD_TRUNCATED_IMAGES = True",
}
# What is changed by an import alone here.
CHANGES_AT_LOAD = {
    "the warning filters": "import warnings; warnings.filterwarnings('ignore')",
    "sys.stdout": "import io, sys; sys.stdout = io.StringIO()",
    "sys.stderr": "import io, sys; sys.stderr = io.StringIO()",
}


def values():
    importlib.import_module("numpy.random")  # a setting can be read as soon as its module is imported
    return {setting.name: setting.get() for setting in SETTINGS}


def change(code):
    def run(*arguments):
        exec(code, {})
        return []

    return run


@pytest.mark.parametrize("name", CHANGES)
def test_what_a_plugin_changes_is_put_back_and_named(name):
    before = values()
    run = change(CHANGES[name])
    hooks = {"toolbox_metrics": lambda: run()}
    spec = LossSpec(name="rigged", summary="s", build=lambda params: run() or max)
    record = PluginRecord(name="stranger", origin="file", source="stranger.py")
    loaded = manager.load(third_party=False, registries=registries())
    loaded.records.append(record)
    candidate = Candidate(record=record, load=lambda: run() or plugin(toolbox_losses=lambda: [spec], **hooks))
    manager.register(loaded, candidate)
    assert record.changed == [name] and values() == before
    built = catalog.build(loaded)
    assert record.status == "ok" and record.changed == [name, name] and values() == before
    assert record.note == f"it changed {name} when it was loaded, which was put back"
    with pytest.warns(PluginWarning, match=f"Loss 'rigged' of the plugin 'stranger' changed {name} when it was built"):
        build_component(bind_component(built, "loss", "rigged", {}))
    assert values() == before


@pytest.mark.parametrize("name", CHANGES_AT_LOAD)
def test_what_an_import_changes_is_put_back(name):
    before = values()
    with isolated("load") as changed:
        change(CHANGES_AT_LOAD[name])()
    assert changed == [name] and values() == before


def test_narrow_warning_filters_of_an_import_stay():
    with warnings.catch_warnings(), isolated("load") as changed:
        warnings.filterwarnings("ignore", message="numpy.dtype size changed")
    assert changed == []


def test_a_seed_in_build_is_put_back_and_drawing_is_allowed():
    import torch

    def seed(params):
        torch.manual_seed(3)
        return print

    def draw(params):
        torch.rand(3)
        return print

    def built(build):
        record = PluginRecord(name="stranger", origin="file", source="stranger.py")
        loaded = manager.load(third_party=False, registries=registries())
        loaded.records.append(record)
        spec = LossSpec(name="rigged", summary="s", build=build)
        manager.register(loaded, Candidate(record=record, load=lambda: plugin(toolbox_losses=lambda: [spec])))
        torch.manual_seed(99)
        build_component(bind_component(catalog.build(loaded), "loss", "rigged", {}))
        return float(torch.rand(()))

    torch.manual_seed(99)
    first, *_ = torch.rand(())[None].tolist()
    with pytest.warns(PluginWarning, match="changed torch's seed"):
        assert built(seed) == first
    assert built(draw) != first


@pytest.mark.parametrize("seed", [0, 1, 42])
def test_the_kit_finds_a_seed_in_build(seed):
    def build(params):
        import torch

        torch.manual_seed(seed)
        return lambda restored, truth, mask: (restored - truth).abs().mean()

    checks = {check.name: check for check in check_component(LossSpec(name="rigged", summary="s", build=build))}
    assert checks["process settings"].status == "failed" and "torch's seed" in checks["process settings"].detail


def test_commands_name_the_plugin_that_changed_something(tmp_path):
    (tmp_path / "wanderer.py").write_text(
        "import os\nfrom toolbox import LossSpec, hookimpl\nos.chdir('/')\n@hookimpl\ndef toolbox_losses():\n"
        "    return [LossSpec(name='wander', summary='s', build=print)]\n"
    )
    invoke("plugin", "add", "wanderer.py")
    line = "it changed the working folder when it was loaded, which was put back"
    assert f"toolbox: warning: the plugin 'wanderer': {line}." in invoke("list").stderr
    assert line in invoke("plugins").stdout
    assert plugin_status("wanderer")["changed"] == ["the working folder"]


def test_a_module_that_a_plugin_imports_gets_the_settings_back_that_it_had_when_imported(tmp_path):
    (tmp_path / "late.py").write_text("import numpy\nnumpy.seterr(all='raise')\nnumpy.random.seed(0)\n")
    code = (
        "import sys; from pathlib import Path; from toolbox.hooks.isolation import isolated\n"
        "from toolbox.hooks.manager import file_loader\n"
        "assert 'numpy' not in sys.modules\n"
        f"with isolated('load') as changed: file_loader('late', Path({str(tmp_path / 'late.py')!r}))()\n"
        "import numpy\nprint(changed, numpy.geterr()['divide'])\n"
    )
    assert run_python("-c", code).strip() == '["NumPy\'s random numbers", "NumPy\'s error handling"] warn'
