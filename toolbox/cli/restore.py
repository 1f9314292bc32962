"""`toolbox restore`: photographs in, restored photographs out."""

from __future__ import annotations

import gc
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolbox.cli.common import FilePath, FiniteRange, as_json, load_catalog, max_pixels, print_json
from toolbox.cli.damage_options import damage_options
from toolbox.cli.guidance_options import guidance_options, with_reference_index
from toolbox.cli.print_options import print_options
from toolbox.cli.restore_files import check_extra_files, warn_of_other_keep, write_report, write_zip
from toolbox.cli.restore_options import (
    Arguments,
    check_weights,
    mask_path,
    restore_options,
    result_flags,
    with_detector,
    with_repair,
)
from toolbox.cli.restore_output import print_plan, print_summary, result_line, warn_of_lossy_formats
from toolbox.errors import OutputError
from toolbox.hooks.specs import DEFAULT_FILL, DEFAULT_WEIGHTS
from toolbox.utils.limits import MAX_GROW, MAX_SATURATION, MIN_TILE

if TYPE_CHECKING:
    from toolbox.hooks.catalog import Catalog
    from toolbox.inference.options import PhotoResult, RestoreOptions
    from toolbox.inference.output_paths import Job
    from toolbox.inference.photo_search import LeftOut
    from toolbox.inference.restorer import Restorer
    from toolbox.inference.result_records import ResultRecords
    from toolbox.utils.console import Console


@dataclass(frozen=True, kw_only=True)
class Jobs:
    """The photographs of all processes, those of this one, and its rank, which is None if it is the only one.

    The first process also reports what was left out.
    """

    all: list[Job]
    own: list[Job]
    rank: int | None
    left_out: LeftOut

    @property
    def total(self) -> int:
        """The number of results in the report of this process: photographs, and folders that can't be read."""
        return len(self.own) + (0 if self.rank else len(self.left_out.folders))


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The results of this process, the signal that stopped it, and why its report could not be written."""

    results: list[PhotoResult]
    signal: int | None
    report_error: OutputError | None


@click.command("restore")
@click.argument("photos", nargs=-1, required=True, type=FilePath(readable=False), metavar="PHOTO|DIR...")
@click.option("-o", "--out", type=FilePath(), required=True, help="Folder for the results.")
@click.option(
    "--weights", default=DEFAULT_WEIGHTS, show_default=True, help="Published name, weight file, run, or checkpoint."
)
@click.option(
    "--fill",
    metavar="FILLER|network",
    help="How lost regions are filled: by a filler (`toolbox list fillers`), or by the network of the weights."
    f"  [default: {DEFAULT_FILL} with the weights {DEFAULT_WEIGHTS}; else as their recipe says]",
)
@click.option(
    "--post",
    metavar="NAME",
    multiple=True,
    help="Change the result by this post-processor (`toolbox list postprocessors`); can be "
    "repeated. none: no post-processor.  "
    "[default: as the recipe of the weights says]",
)
@click.option(
    "--detector",
    metavar="NAME",
    help="The detector of lost regions with --mask auto (`toolbox list detectors`).  [default: as "
    "the recipe of the weights "
    "says, else painted-shape]",
)
@click.option(
    "--mask",
    default="auto",
    show_default=True,
    metavar="auto|none|FILE|DIR",
    help="Mask with the lost region in white: a file, or a folder of files. auto: find the lost "
    "region. none: nothing is lost.",
)
@click.option(
    "--mask-means",
    type=click.Choice(["auto", "painted", "transparent", "white"]),
    default="auto",
    show_default=True,
    help="What is lost in a mask file. auto: white, or what its transparency shows.",
)
@click.option("--allow-large", is_flag=True, help="Accept a mask that looks inverted or marks more than 60 %.")
@click.option("--color", help="Treat this colour as lost, for example '#ffffff'.")
@click.option(
    "--tolerance",
    type=click.IntRange(0, 255),
    default=12,
    show_default=True,
    help="Maximum difference from --color in each channel.",
)
@click.option("--repair", is_flag=True, help="Also find scratches, folds, dust, stains and torn parts, and fill them.")
@damage_options
@click.option("--grow", type=click.IntRange(0, MAX_GROW), default=0, help="Widen the lost region by this many pixels.")
@click.option(
    "--keep",
    type=click.Choice(["auto", "luma", "rgb", "none"]),
    default="auto",
    show_default=True,
    help="What stays unchanged. auto: the luma of a gray photo, all known pixels of a colour photo.",
)
@click.option(
    "--tone",
    type=click.Choice(["colour", "keep"]),
    default="colour",
    show_default=True,
    help="Give a sepia photo colours, or keep its tone.",
)
@click.option(
    "--saturation",
    type=FiniteRange(0, MAX_SATURATION),
    default=1.0,
    show_default=True,
    help="Factor of the predicted colours: 0 is gray, 2 is vivid. Brightness and known colours stay the same.",
)
@print_options
@click.option("--tile", type=click.IntRange(MIN_TILE), help="Side of the tiles of a large photo, in pixels.")
@click.option("--device", help="cpu, cuda, cuda:1 or mps.  [default: the best device of this machine]")
@click.option(
    "--format",
    type=click.Choice(["lossless", "keep"]),
    default="lossless",
    show_default=True,
    help="Write PNG (TIFF for a TIFF), or keep the format of each photo.",
)
@click.option("--before-after", is_flag=True, help="Also write each photo and its result side by side.")
@guidance_options
@click.option("--preview", is_flag=True, help="Only write each photo with its lost part in red; restore nothing.")
@click.option("--zip", "archive", type=FilePath(), help="Also write the results into a submission zip.")
@click.option("--report", is_flag=True, help="Also write report.html: each photo before and after, and the failures.")
@click.option("--overwrite", is_flag=True, help="Overwrite existing results.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Read the files without decoding them, print what would be done and what would fail, and write nothing.",
)
@max_pixels
@as_json
@click.pass_context
def command(context: click.Context, **values: Any) -> None:  # noqa: ANN401 - the fields of Arguments
    """Colour gray photographs and fill in their lost regions. The originals are never changed."""
    from toolbox.inference import output_paths, photo_search, result_records
    from toolbox.utils.console import Console

    arguments = Arguments(**values)
    console = Console(json_output=arguments.as_json)
    left_out, keep_format = photo_search.LeftOut(), arguments.format == "keep"
    planned = output_paths.plan_jobs(
        arguments.photos, arguments.out, keep_format=keep_format, left_out=left_out, masks=mask_path(arguments)
    )
    own, rank = output_paths.jobs_of_rank(planned)
    jobs = Jobs(all=planned, own=own, rank=rank, left_out=left_out)
    check_extra_files(arguments, jobs)
    options = restore_options(arguments, len(jobs.all), context, left_out)
    if arguments.dry_run:
        flags = result_flags(arguments, context)
        records = result_records.ResultRecords(_report_path(arguments, jobs), flags, options.mask_options)
        print_plan(jobs, options, records, arguments.as_json, console)
        return
    if keep_format and not jobs.rank:
        warn_of_lossy_formats(jobs.all, console)
    batch = _restore(context, arguments, options, jobs, console)
    results = batch.results
    print_summary(results, len(jobs.all), options, left_out, console, repairs=arguments.repair)
    if batch.signal is not None:
        console.print_line(f"Stopped with {jobs.total - len(results)} left; run the same command again to continue.")
        if batch.report_error is not None:
            click.echo(f"toolbox: {batch.report_error}", err=True)
        raise SystemExit(128 + batch.signal)
    if batch.report_error is not None:
        raise batch.report_error
    write_report(arguments, console)
    write_zip(arguments, jobs, results, console)
    if any(result.status == "failed" for result in results):
        context.exit(1 if len(jobs.all) + len(left_out.folders) == 1 else 3)


def _restore(
    context: click.Context,
    arguments: Arguments,
    options: RestoreOptions,
    jobs: Jobs,
    console: Console,
) -> Batch:
    """Restore the photographs of this process and write its report."""
    from toolbox.inference import batch
    from toolbox.inference.result_records import ResultRecords
    from toolbox.utils.signals import stop_on_signals

    report_path = _report_path(arguments, jobs)
    results = [] if jobs.rank else batch.folder_results(jobs.left_out.folders)
    with stop_on_signals("this photo", console.print_notice) as stopped, ExitStack() as stack:
        catalog = load_catalog(context)
        restorer = None if arguments.preview else _load_restorer(arguments, catalog)
        if restorer is not None and arguments.archive is not None:
            warn_of_other_keep(arguments, restorer.keep, console)
        # torch's modules stay until the end. A garbage collection over them takes as long as a small photograph.
        gc.freeze()
        if options.mask_options.searches:
            options = with_detector(arguments, options, catalog)
        options = with_repair(arguments, options, catalog)
        options = with_reference_index(options, arguments.reference, console)
        stack.enter_context(batch.open_output(arguments.out, report_path, jobs.own))
        records = ResultRecords(report_path, result_flags(arguments, context), options.mask_options)
        for result in results:
            console.print_line(result_line(result))
        try:
            # Several processes share one terminal, so only the first has a progress bar.
            with (
                nullcontext(lambda: None) if jobs.rank else console.progress_bar("restoring", len(jobs.own)) as advance
            ):
                for result in batch.restore_all(
                    jobs.own,
                    restorer,
                    options,
                    all_jobs=jobs.all,
                    records=records,
                    stop=lambda: stopped.signal is not None,
                ):
                    results.append(result)
                    console.print_line(result_line(result))
                    advance()
        finally:
            report = batch.make_report(results, jobs.total, () if jobs.rank else jobs.left_out.paths, records)
            report_error = _write_records(report_path, report, records)
    if arguments.as_json:
        print_json(report)
    return Batch(results=results, signal=stopped.signal, report_error=report_error)


def _write_records(path: Path, report: dict[str, Any], records: ResultRecords) -> OutputError | None:
    """Write the report; return the error if it can't be written, so that the summary is printed nevertheless."""
    from toolbox.utils import files

    try:
        files.write_json(path, report)
    except OutputError as error:
        return error
    records.close()  # only now: until the report was written, only the journal had the records of the results
    return None


def _report_path(arguments: Arguments, jobs: Jobs) -> Path:
    return arguments.out / ("report.json" if jobs.rank is None else f"report.{jobs.rank}.json")


def _load_restorer(arguments: Arguments, catalog: Catalog) -> Restorer:
    from toolbox.inference.fillers import default_fill
    from toolbox.inference.loading import load_restorer

    restorer = load_restorer(
        arguments.weights,
        device=arguments.device,
        tile=arguments.tile,
        saturation=arguments.saturation,
        fill=default_fill(arguments.weights) if arguments.fill is None else arguments.fill,
        post=arguments.post or None,
        catalog=catalog,
    )
    return check_weights(arguments, restorer)
