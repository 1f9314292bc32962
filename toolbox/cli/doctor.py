"""`toolbox doctor`: check the installation, a data folder, and one step of a recipe."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from toolbox.cli.common import FilePath, as_json, load_catalog, print_json, recipe_path
from toolbox.cli.photo_diagnosis import diagnose_photo
from toolbox.errors import UsageError

if TYPE_CHECKING:
    from toolbox.diagnostics.environment import Finding
    from toolbox.hooks.catalog import Catalog


@click.command("doctor")
@click.option("--data", "data", type=FilePath(), help="Also check this data folder.")
@click.option("--recipe", "recipe_name", help="Take one step of this recipe and print its time and peak memory.")
@click.option(
    "--repeat",
    type=FilePath(),
    help="Replay a training step that produced NaN or Inf: RUN/not-finite/step-…, as the run's message says.",
)
@click.option(
    "--photo",
    type=FilePath(),
    metavar="FILE",
    help="Only diagnose this photo of a print, and print the options of `toolbox restore` that help.",
)
@click.option(
    "--picture",
    type=FilePath(),
    metavar="FILE",
    help="With --photo, also write this PNG: the photo with the outline of the sheet, and the corrected print.",
)
@click.option("--device", help="The device for the step.")
@click.option("--set", "overrides", multiple=True, metavar="K=V", help="Override any setting of the recipe.")
@as_json
@click.pass_context
def command(
    context: click.Context,
    data: Path | None,
    recipe_name: str | None,
    repeat: Path | None,
    photo: Path | None,
    picture: Path | None,
    device: str | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Check the installation, the devices, a data folder, one step of a recipe. The exit code is 1 for any fault."""
    others = {"--data": data, "--recipe": recipe_name, "--repeat": repeat, "--device": device, "--set": overrides}
    used = [option for option, value in others.items() if value]
    if photo is not None and used:
        raise UsageError(f"--photo and {', '.join(used)} can't be combined; leave one out.")
    if recipe_name is None and repeat is None and (device or overrides):
        raise UsageError(f"{used[-1]} is for the step of --recipe or --repeat; add one of them.")
    if photo is not None:
        diagnose_photo(context, photo, picture, as_json=as_json)
        return
    if picture is not None:
        raise UsageError("--picture shows a diagnosis; add --photo FILE.")
    from toolbox.diagnostics import environment

    sections: dict[str, list[Finding]] = {"environment": environment.check_packages()}
    installation_ok = all(finding.ok for finding in sections["environment"])
    if installation_ok:
        sections["devices"] = environment.check_devices()
    sections["folders"] = environment.check_folders()
    if data is not None and installation_ok:
        from toolbox.diagnostics.data_folder import inspect_folder

        sections["data"] = inspect_folder(data)
    if recipe_name is not None and installation_ok:
        sections["step"] = [_try_step(load_catalog(context), recipe_name, overrides, device)]
    if repeat is not None and installation_ok:
        sections["repeat"] = _replay_step(load_catalog(context), repeat, overrides, device)
    if as_json:
        print_json({name: [asdict(finding) for finding in findings] for name, findings in sections.items()})
    else:
        for name, findings in sections.items():
            click.echo(f"{name}:")
            for finding in findings:
                click.echo(f"  {'ok' if finding.ok else '!!'}  {finding.what}: {finding.detail}")
    if not all(finding.ok for findings in sections.values() for finding in findings):
        context.exit(1)


def _try_step(catalog: Catalog, name: str, overrides: tuple[str, ...], device: str | None) -> Finding:
    from toolbox.config import recipe
    from toolbox.config.binding import bind
    from toolbox.diagnostics.environment import Finding
    from toolbox.diagnostics.trial_step import try_step

    plan = bind(recipe.read(name, lambda known: recipe_path(catalog, known), overrides), catalog)
    plan.check()
    seconds, memory, owner = try_step(plan, device)
    size, batch = plan.settings.data.size, plan.settings.training.batch
    detail = f"{seconds:.2f} s per step, peak memory {memory / 2**30:.2f} GiB ({owner}), {size} pixels, batch {batch}"
    return Finding(what=f"recipe '{plan.name}'", ok=True, detail=detail)


def _replay_step(catalog: Catalog, folder: Path, overrides: tuple[str, ...], device: str | None) -> list[Finding]:
    from toolbox.config import recipe
    from toolbox.config.binding import bind
    from toolbox.diagnostics import replay_step
    from toolbox.training import nonfinite, run_dir

    with run_dir.lock_run_of(folder):
        nonfinite.read_step_folder(folder)
        read = recipe.read(str(folder / run_dir.RECIPE), lambda known: recipe_path(catalog, known), overrides)
        return replay_step.replay_step(folder, bind(read, catalog), device)
