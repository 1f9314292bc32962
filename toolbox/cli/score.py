"""`toolbox score`: the figures of restored photographs, of weights on a folder of photographs; the check of a zip."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolbox.cli.common import FilePath, as_json, load_catalog, print_json, print_table
from toolbox.errors import UsageError

if TYPE_CHECKING:
    from toolbox.evaluation.score_files import FileScores
    from toolbox.hooks.catalog import Catalog

# The options that belong to each form of the command.
WITH_TRUTH = ("masks", "inputs", "mask_means")
WITH_DATA = ("fill", "seed", "size", "device", "held_out")
# The columns of the table; --csv and --json have all figures.
COLUMNS = {
    "S": "S",
    "M": "M",
    "C": "C",
    "score": "SCORE",
    "psnr": "PSNR",
    "ssim": "SSIM",
    "ab": "AB",
    "ab_ratio": "AB/GRAY",
    "colorfulness_ratio": "COLOURS",
    "lpips": "LPIPS",
}
HIDDEN = ("ab_gray", "colorfulness", "colorfulness_truth")


@click.command("score")
@click.argument("predictions", metavar="PREDICTIONS|WEIGHTS", type=FilePath())
@click.argument("truth", required=False, type=FilePath())
@click.option("--masks", type=FilePath(), help="Folder of masks, with the lost region in white.")
@click.option("--inputs", type=FilePath(), help="Folder of damaged inputs, to find the lost regions in.")
@click.option(
    "--mask-means",
    type=click.Choice(["auto", "painted", "transparent", "white"]),
    help="What is lost in a mask file. auto: white, or what its transparency shows.  [default: auto]",
)
@click.option(
    "--data",
    type=FilePath(),
    help="Score weights: restore the photographs of this folder, as `toolbox run --data` takes it.",
)
@click.option("--fill", help="With --data: a filler, or network.  [default: as the recipe of the weights says]")
@click.option(
    "--seed",
    type=click.IntRange(0),
    help="With --data: seed of the damage of photographs that have no input.  [default: the recipe's]",
)
@click.option(
    "--size",
    type=click.IntRange(16),
    help="With --data: score the middle square, scaled to this side in pixels.  [default: photographs as they are]",
)
@click.option("--held-out", is_flag=True, help="With --data: leave out the photographs that the run was trained on.")
@click.option("--device", help="With --data: cpu, cuda, cuda:1, mps.  [default: the best available]")
@click.option(
    "--check",
    type=FilePath(),
    help="Check a submission zip: the folder of the test photographs, or a data folder with test_input/.",
)
@click.option("--lpips", type=FilePath(), help="Measure LPIPS with the weights in this file.")
@click.option("--csv", "table", type=FilePath(), help="Write the figures of each image to this file.")
@click.option("--overwrite", is_flag=True, help="Overwrite an existing --csv file.")
@as_json
@click.pass_context
def command(
    context: click.Context,
    predictions: Path,
    truth: Path | None,
    data: Path | None,
    check: Path | None,
    lpips: Path | None,
    table: Path | None,
    overwrite: bool,
    as_json: bool,
    **options: Any,  # noqa: ANN401 - the options of one of the forms
) -> None:
    """Score restored photographs, score weights, or check a submission zip.

    PREDICTIONS, a folder or a submission zip, is compared with the originals in TRUTH. WEIGHTS, a run, a weight file or
    a published name, restores the photographs in --data DIR, and the results are compared with the truths. With --check
    DIR, the files of a submission zip are compared with the test photographs; originals are not needed.

    S is the SSIM of the whole image, M the SSIM inside the lost region, C the correlation of the hue histograms. The
    score is 0.2 S + 0.4 M + 0.4 C, averaged over the images. With TRUTH, M and the score need --masks or --inputs.
    """
    _require_one_form(truth, data, check, options)
    if table is not None:
        scored = (predictions, truth, data, check, lpips, options["masks"], options["inputs"])
        _check_table(table, overwrite, [path for path in scored if path])
    if check is not None:
        _check_submission(context, predictions, check, as_json)
        return
    from toolbox.evaluation import score_files

    catalog = load_catalog(context)
    if data is not None:
        scores = _score_weights(predictions, data, lpips, catalog, options)
    else:
        assert truth is not None
        scores = _score_files(predictions, truth, lpips, catalog, options)
    if table is not None:
        score_files.write_csv(table, scores)
    if as_json:
        print_json(_as_json(scores))
    else:
        _print_scores(scores)


def _require_one_form(truth: Path | None, data: Path | None, check: Path | None, options: dict[str, Any]) -> None:
    """Raise UsageError unless the arguments are those of one form of the command."""
    if sum(value is not None for value in (truth, data, check)) != 1:
        raise UsageError(
            "Give one of these: TRUTH, the folder of the originals; --data DIR, to score weights; --check DIR, to "
            "check a submission zip."
        )
    if options["masks"] is not None and options["inputs"] is not None:
        raise UsageError("--masks and --inputs can't be combined; leave one out.")
    for form, names, value in (("TRUTH", WITH_TRUTH, truth), ("--data", WITH_DATA, data)):
        wrong = next((name for name in names if options[name] not in (None, False)), None)
        if value is None and wrong is not None:
            raise UsageError(f"--{wrong.replace('_', '-')} is only used with {form}; leave it out.")


def _score_files(
    predictions: Path, truth: Path, lpips: Path | None, catalog: Catalog, options: dict[str, Any]
) -> FileScores:
    from toolbox.evaluation import score_files
    from toolbox.evaluation.extra_figures import build_extra_figures

    extra = build_extra_figures(catalog, lpips)
    chosen = {name: options[name] for name in WITH_TRUTH if options[name] is not None}
    return score_files.score_files(predictions, truth, extra=extra, **chosen)


def _score_weights(
    weights: Path, data: Path, lpips: Path | None, catalog: Catalog, options: dict[str, Any]
) -> FileScores:
    from toolbox.evaluation.score_weights import ScoreOptions, score_weights
    from toolbox.utils.console import Console

    chosen = ScoreOptions(lpips=lpips, **{name: options[name] for name in WITH_DATA})
    # stdout is for the figures.
    console = Console(json_output=True)
    return score_weights(
        str(weights), data, chosen, catalog, lambda total: console.progress_bar("scoring photographs", total)
    )


def _check_submission(context: click.Context, archive: Path, tests: Path, as_json: bool) -> None:
    """Print a line for each fault of a submission; the exit code is 1 if there is one."""
    from toolbox.evaluation.submission_check import check_submission

    faults, count = check_submission(archive, tests)
    if as_json:
        print_json({"photographs": count, "faults": faults})
    else:
        for line in faults or [f"{archive}: {count} photographs, no faults."]:
            click.echo(line)
    if faults:
        context.exit(1)


def _as_json(scores: FileScores) -> dict[str, Any]:
    table = scores.figures
    images = [
        {"name": name, **({"seen": scores.seen.get(name)} if scores.seen else {}), **figures}
        for name, figures in table.images.items()
    ]
    return {"mean": table.mean, "interval": table.intervals, "images": images, "notes": list(scores.notes)}


def _print_scores(scores: FileScores) -> None:
    table = scores.figures
    names = [name for name in table.mean if name not in HIDDEN]
    rows = [
        (name, *(_format(key, figures[key]) for key in names), scores.seen.get(name, ""))
        for name, figures in table.images.items()
    ]
    rows.append(("mean", *(_format(key, table.mean[key]) for key in names), ""))
    for title, bound in (("95 % from", 0), ("95 % to", 1)):
        limits = [None if (limit := table.intervals[key]) is None else limit[bound] for key in names]
        rows.append((title, *map(_format, names, limits), ""))
    print_table(rows, ("IMAGE", *(COLUMNS.get(name, name.upper()) for name in names), "SEEN" if scores.seen else ""))
    for note in scores.notes:
        click.echo(f"note: {note}", err=True)


def _check_table(table: Path, overwrite: bool, inputs: list[Path]) -> None:
    """Raise UsageError if the table would replace a file that is no table, or another one without --overwrite."""
    from toolbox.imaging import io
    from toolbox.inference import output_paths
    from toolbox.utils import files

    scored = [path for source in inputs for path in (io.find_images(source) if source.is_dir() else [source])]
    if table.exists() and any(output_paths.is_same_path(table, path) for path in scored):
        raise UsageError(f"--csv {table} is one of the scored files; choose another name.")
    if os.path.lexists(table) and table.suffix.lower() != ".csv":
        raise UsageError(f"--csv {table} exists and does not end in .csv; choose another name.")
    if os.path.lexists(table) and not overwrite:
        raise UsageError(f"--csv {table} exists; choose another name, or add --overwrite.")
    files.require_writable(table)


def _format(name: str, value: float | None) -> str:
    """Return a figure as text: four decimals for figures around 1, two for larger ones."""
    if value is None:
        return "-"
    return f"{value:.2f}" if name in ("psnr", "ab") or abs(value) >= 100 else f"{value:.4f}"
