"""Puts registry.toml, which lives at the top of the repository, inside the built package."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithRegistry(build_py):
    """Copies the registry beside the core; an editable install reads it where it lies."""

    def run(self) -> None:
        """Build as usual, then add the registry."""
        super().run()
        if not self.editable_mode:
            shutil.copyfile(Path(__file__).with_name("registry.toml"), Path(self.build_lib, "toolbox", "registry.toml"))


setup(cmdclass={"build_py": BuildWithRegistry})
