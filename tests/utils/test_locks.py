"""Two processes that want the same folder or registry: the second waits or is refused, and nothing is lost."""

from __future__ import annotations

import threading
import time

import pytest
from commands import invoke_error, run_python
from runs import run

from toolbox.errors import UsageError
from toolbox.hooks import registry
from toolbox.training import run_dir
from toolbox.utils import locks

NAMES = [f"plugin-{number}" for number in range(8)]


def at_once(function, arguments):
    """Call `function` with each argument in a thread of its own, all started together."""
    barrier = threading.Barrier(len(arguments))

    def call(argument):
        barrier.wait()
        function(argument)

    threads = [threading.Thread(target=call, args=(argument,)) for argument in arguments]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def slowly(change):
    """Return `change`, with time between reading and writing in which another change would be lost."""

    def changed(user):
        time.sleep(0.02)
        return change(user)

    return changed


def test_changes_of_the_registry_at_once_are_all_kept(tmp_path):
    def disable(name):
        registry.change_user(slowly(lambda user: registry.with_enabled(user, name, enabled=False)))

    at_once(disable, NAMES)
    assert sorted(registry.read_user().disabled) == NAMES


def test_files_added_and_removed_at_once_are_all_kept(tmp_path):
    for name in NAMES[:4]:
        registry.change_user(lambda user, name=name: registry.with_file(user, name, tmp_path / f"{name}.py"))

    def add_or_remove(name):
        remove = name in NAMES[:4]
        registry.change_user(
            slowly(
                lambda user: (
                    registry.without_file(user, name)
                    if remove
                    else registry.with_file(user, name, tmp_path / f"{name}.py")
                )
            )
        )

    at_once(add_or_remove, NAMES)
    assert sorted(added.name for added in registry.read_user().files) == NAMES[4:]


def test_a_file_added_twice_at_once_is_added_once(tmp_path):
    refused = []

    def add(_):
        try:
            registry.change_user(slowly(lambda user: registry.with_file(user, "mine", tmp_path / "mine.py")))
        except UsageError as error:
            refused.append(str(error))

    at_once(add, [0, 1, 2])
    assert len(registry.read_user().files) == 1 and len(refused) == 2
    assert "is already added as 'mine'" in refused[0]


def test_a_registry_that_stays_locked_is_one_line(monkeypatch):
    monkeypatch.setattr(registry, "LOCK_SECONDS", 0.05)
    path = registry.user_path()
    path.parent.mkdir(parents=True)
    with locks.hold_lock(path.with_name(".registry.toml.lock")):
        assert "is being changed by another process" in invoke_error("plugin", "disable", "luma", code=1)


def test_a_run_folder_in_use_is_refused(tmp_path, photos):
    out = tmp_path / "out"
    run("--data", photos, "--out", out, "--size", 32, "--epochs", 1)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    with run_dir.lock_run_dir(out, new=False):
        stderr = run("--resume", out, "--epochs", 2, code=2).stderr
    assert "toolbox: Another process (process " in stderr and f"is training in {out}." in stderr
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    run("--resume", out, "--epochs", 2)


def test_the_lock_of_another_process_counts_and_ends_with_it(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from toolbox.utils import locks\n"
        "lock = locks.hold_lock(Path(sys.argv[1])); lock.__enter__(); os._exit(0)"
    )
    with locks.hold_lock(tmp_path / "lock"):
        with pytest.raises(AssertionError, match="BusyError"):
            run_python("-c", code, tmp_path / "lock")
    run_python("-c", code, tmp_path / "lock")  # it ends without releasing the lock
    with locks.hold_lock(tmp_path / "lock"):
        pass


def test_a_job_that_is_started_twice_has_one_run(tmp_path):
    with run_dir.lock_run_dir(tmp_path / "job", new=True):
        with pytest.raises(UsageError, match="Another process is training"):
            with run_dir.lock_run_dir(tmp_path / "job", new=True):
                pass
        (tmp_path / "job" / "recipe.toml").touch()
    with pytest.raises(UsageError, match="is not an empty folder"):
        with run_dir.lock_run_dir(tmp_path / "job", new=True):
            pass


def test_runs_started_at_once_get_folders_of_their_own(tmp_path):
    folders = []
    at_once(lambda _: folders.append(run_dir.choose_run_dir(None, "default")), range(6))
    assert len(set(folders)) == 6 and all(folder.is_dir() for folder in folders)
    assert run_dir.choose_run_dir(None, "default", create=False) not in folders


def test_a_file_system_without_locks_is_used_without_one(tmp_path, monkeypatch):
    import filelock

    def acquire(*_args, **_options):
        raise NotImplementedError

    monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
    with locks.hold_lock(tmp_path / "lock"):
        pass


def test_a_step_is_not_replayed_while_its_run_goes_on(tmp_path):
    step = tmp_path / "run" / "not-finite" / "step-00000001"
    step.mkdir(parents=True)
    (tmp_path / "run" / "recipe.toml").write_text("", "utf-8")
    with locks.hold_lock(tmp_path / "run" / run_dir.LOCK):
        assert "is training in" in invoke_error("doctor", "--repeat", step, code=2)
    assert "has no readable step.json" in invoke_error("doctor", "--repeat", step, code=2)
