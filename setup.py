"""What pyproject.toml can't say: the bundles' packages, and registry.toml inside the built package."""

import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py


class BuildWithRegistry(build_py):
    """Copies the registry, which lies at the top of the repository, beside the core.

    An editable install reads it where it lies.
    """

    def run(self) -> None:
        """Build as usual, then add the registry."""
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib, "toolbox", "registry.toml")
            shutil.copyfile(Path(__file__).with_name("registry.toml"), target)


setup(
    # On disk the bundles lie in plugins/; a package of that name in site-packages would clash with others.
    packages=[
        *find_packages(include=["toolbox", "toolbox.*"]),
        "toolbox_plugins",
        *(f"toolbox_plugins.{name}" for name in find_packages("plugins")),
    ],
    cmdclass={"build_py": BuildWithRegistry},
)
