"""`toolbox restore`: photographs in, restored photographs out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click
from click.core import ParameterSource

from toolbox.cli.common import as_json, load_catalog, print_json
from toolbox.errors import UsageError

if TYPE_CHECKING:
    from toolbox.inference.batch import PhotoResult, RestoreOptions
    from toolbox.inference.output_paths import Job

WEIGHTS = "luma"


@click.command("restore")
@click.argument("photos", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PHOTO|DIR...")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="The folder for the results.")
@click.option("--weights", default=WEIGHTS, show_default=True, help="A published name, a .safetensors file, or a run.")
@click.option(
    "--mask", "mask", default="auto", show_default=True, metavar="auto|none|FILE|DIR", help="What is lost, in white."
)
@click.option("--color", help="What has this colour is lost, as '#ffffff'.")
@click.option("--tolerance", type=click.IntRange(0, 255), default=12, show_default=True, help="How near to --color.")
@click.option("--grow", type=click.IntRange(0, 200), default=0, help="Widen the lost part by so many pixels.")
@click.option(
    "--keep",
    type=click.Choice(["auto", "luma", "rgb", "none"]),
    default="auto",
    show_default=True,
    help="What stays as it is: the luma of a gray photo, all of a colour one.",
)
@click.option(
    "--tone",
    type=click.Choice(["colour", "keep"]),
    default="colour",
    show_default=True,
    help="A sepia photo: give it colours, or keep its tone.",
)
@click.option("--tile", type=click.IntRange(64), help="Side of the tiles of a large photo, in pixels.")
@click.option("--device", help="cpu, cuda, cuda:1, mps.  [default: the best there is]")
@click.option(
    "--format",
    "form",
    type=click.Choice(["lossless", "keep"]),
    default="lossless",
    show_default=True,
    help="PNG and TIFF stay, others become PNG; or each keeps its own.",
)
@click.option("--before-after", is_flag=True, help="Write each photo and its result side by side too.")
@click.option("--zip", "archive", type=click.Path(path_type=Path), help="Put the results into a submission zip too.")
@click.option("--overwrite", is_flag=True, help="Make results again that are there.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and write nothing.")
@click.option("--max-pixels", type=click.IntRange(1), default=50_000_000, show_default=True, help="Refuse larger ones.")
@as_json
@click.pass_context
def command(
    context: click.Context,
    photos: tuple[Path, ...],
    out: Path,
    weights: str,
    mask: str,
    color: str | None,
    tolerance: int,
    grow: int,
    keep: str,
    tone: str,
    tile: int | None,
    device: str | None,
    form: str,
    before_after: bool,
    archive: Path | None,
    overwrite: bool,
    dry_run: bool,
    max_pixels: int,
    as_json: bool,
) -> None:
    """Colour gray photographs and fill in what is lost; every original stays as it is."""
    from toolbox.cli.console import Console
    from toolbox.imaging.formats import format_of_path
    from toolbox.inference import output_paths
    from toolbox.masks.sources import MaskOptions, parse_color

    console = Console(json_output=as_json)
    every = output_paths.plan_jobs(photos, out, keep_format=form == "keep")
    jobs, rank = output_paths.rank_jobs(every)
    results = {job.photo: job.target for job in every}
    if archive is not None:
        from toolbox.evaluation import submission

        if rank is not None:
            raise UsageError("--zip is of all photographs, and this process has a share; zip in one process after.")
        submission.members(results, archive)
    if color is None and context.get_parameter_source("tolerance") is not ParameterSource.DEFAULT:
        raise UsageError("--tolerance tells how near to --color; give that as well, as --color '#ffffff'.")
    choice = MaskOptions(
        given=_given(mask, len(every), color, out),
        color=None if color is None else parse_color(color),
        tolerance=tolerance,
        grow=grow,
        max_pixels=max_pixels,
    )
    from toolbox.inference import batch as work

    how = work.RestoreOptions(
        mask_options=choice,
        keep=cast(Any, keep),
        tone=tone == "keep",
        before_after=before_after,
        overwrite=overwrite,
        max_pixels=max_pixels,
    )
    if dry_run:
        _say_plan(jobs, how, as_json, console.print_line)
        return
    from toolbox.cli.console import stop_on_signals
    from toolbox.inference.restorer import load_restorer
    from toolbox.utils import files

    if form == "keep" and not rank and any((row := format_of_path(job.target)) and row.is_lossy for job in every):
        console.print_line(
            "--format keep: JPEG and WebP are encoded again, which loses a little; without it nothing is lost."
        )
    report = out / ("report.json" if rank is None else f"report.{rank}.json")
    outcomes: list[PhotoResult] = []
    with stop_on_signals("this photo") as request:
        restorer = load_restorer(weights, device=device, tile=tile, catalog=load_catalog(context))
        work.begin_report(out, report, jobs)
        # Several processes have one terminal, and one bar.
        bar = nullcontext(lambda: None) if rank else console.progress_bar("restoring", len(jobs))
        with bar as advance:
            for outcome in work.restore_all(jobs, restorer, how, among=every, stop=lambda: request.signal is not None):
                outcomes.append(outcome)
                console.print_line(_line(outcome))
                advance()
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    if len(every) > 1:
        _say_report(outcomes, failed, console.print_line)
    found = work.write_report(outcomes, len(jobs))
    if as_json:
        print_json(found)
    files.write_json(report, found)
    unfound = sum(outcome.status == "restored" and not outcome.lost for outcome in outcomes)
    if choice.finds and unfound:
        console.print_line(
            f"No lost part was found in {unfound} of {len(jobs)}; tears and spots are told by --color or --mask."
        )
    if request.signal is not None:
        console.print_line(f"Stopped with {len(jobs) - len(outcomes)} left; the same command goes on.")
        raise SystemExit(128 + request.signal)
    if failed:
        context.exit(1 if len(every) == 1 else 3)
    if archive is not None:
        submission.collect_submission(results, archive)
        console.print_line(f"Submission: {archive}")


def _given(mask: str, count: int, color: str | None, out: Path) -> Path | bool | None:
    from toolbox.inference import output_paths

    if mask in ("auto", "none"):
        return None if mask == "auto" else False
    path = Path(mask)
    if color is not None:
        raise UsageError("--color and a --mask file exclude each other; leave one out.")
    if not os.path.exists(path):
        raise UsageError(f"--mask {mask}: there is no such file or folder; auto finds what is lost, none is nothing.")
    if path.is_file() and count > 1:
        raise UsageError(f"--mask {mask} is one mask, and there are {count} photos; give a folder with one for each.")
    output_paths.require_separate_folder(out, path if path.is_dir() else path.parent, "the masks'")
    return path


def _line(outcome: PhotoResult) -> str:
    if outcome.status == "failed":
        return f"{outcome.photo}: failed: {outcome.reason}"
    if outcome.status == "left as it is":
        return f"{outcome.photo}: left as it is: {outcome.reason}"
    if outcome.status == "there already":
        return f"{outcome.photo}: there already: {outcome.result}"
    notes = "".join(f"; {note}" for note in outcome.notes)
    return f"{outcome.photo} -> {outcome.result} ({outcome.kind}, {100 * outcome.lost:.1f} % lost{notes})"


def _say_plan(jobs: list[Job], how: RestoreOptions, as_json: bool, say: Callable[[str], None]) -> None:
    from toolbox.inference.batch import read_finished
    from toolbox.utils import files

    planned = [
        {
            "photo": files.printable(job.photo),
            "result": files.printable(job.target),
            "status": "there already" if read_finished(job, how) else "would be written",
        }
        for job in jobs
    ]
    if as_json:
        print_json({"photos": planned})
        return
    for one in planned:
        say(f"{one['photo']} -> {one['result']} ({one['status']})")
    say("Dry run: nothing was written.")


def _say_report(outcomes: list[PhotoResult], failed: list[PhotoResult], say: Callable[[str], None]) -> None:
    counts = Counter(outcome.status for outcome in outcomes)
    say(", ".join(f"{count} {status}" for status, count in counts.items()))
    for outcome in failed:
        say(f"  failed: {outcome.photo}: {outcome.reason}")
