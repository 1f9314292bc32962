"""`python -m toolbox`: the same as `toolbox`, for launchers that start a module (torchrun, accelerate launch)."""

from __future__ import annotations

from toolbox.cli import main

if __name__ == "__main__":
    main(prog_name="toolbox")
