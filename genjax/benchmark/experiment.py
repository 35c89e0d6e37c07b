"""Speed as ratios measured in one run: against this machine's own products, and against peers."""

import json
import os
from pathlib import Path

import numpy as np

from genjax.benchmark import attention, counts, gan, harness, lm, roofline, sizes, vae
from genjax.benchmark.config import Config
from genjax.core import config as configs
from genjax.core import environment, files, platforms
from genjax.core.errors import UsageError
from genjax.core.progress import say
from genjax.scaling import microbenchmark

# (what makes it of a configuration and a size, the size that is measured)
PARTS = {
    "vae": (vae.part, sizes.Autoencoders()),
    "gan": (gan.part, sizes.Game()),
    "attention": (attention.part, sizes.Heads()),
    "lm": (lm.part, sizes.Decoder()),
}
RESULTS, PICTURE = "results.json", "roofline.png"
# Of a check: rounds, and seconds a row.
ROUNDS, SECONDS = 2, 0.1


def run(
    config: Config,
    folder: str | Path,
    *,
    resume: bool = True,
    compile_cache: str = "",
    platform: str = "auto",
) -> dict:
    """Measures what `config` asks for, says it, and writes it to <folder>/results.json.

    {"rates": {row: [rounds]}, "counts": {row: {"flops", "bytes"} of a unit}, "shares": {row: {of
    what: [rounds]}}, "ratios": {title: [rounds]}, "flags", "device", ...}, which is returned too;
    beside it a picture of rates over intensity. resume: whether results that the folder holds are
    replaced, or refused.
    compile_cache, platform: as in `genjax.run.execute`. Raises UsageError for what cannot be done,
    before anything is measured or written.
    """
    make, size = PARTS[config.only]
    part = make(config, size)
    part.settle()
    places = [_place(Path(folder), resume)]
    if config.json is not None:
        places.append(_file(config.json))
    with (
        platforms.chosen(platform),
        environment.compile_cache(compile_cache),
        microbenchmark.bound(part.cores),
    ):
        rounds, seconds = (ROUNDS, SECONDS) if config.quick else (config.rounds, config.seconds)
        rates, units, counted = harness.measure(part, rounds, seconds)
    shares = {
        row: {of: list(map(float, values)) for of, values in own.items()}
        for row, own in counts.shares(counted, rates).items()
    }
    ratios = {title: list(map(float, v)) for title, v in part.ratios(rates).items()}
    done = {row: {"flops": one.flops, "bytes": one.bytes} for row, one in counted.items()}
    found = {"rates": rates, "counts": done, "shares": shares, "ratios": ratios}
    found["flags"] = configs.to_json(config)
    found |= environment.describe()
    for place in places:
        files.replace(place, (json.dumps(found, indent=1) + "\n").encode())
    say(str(found["device"]))
    for line in (*harness.table(rates, units, ratios), *counts.table(shares)):
        say(line)
    if "nll" in rates:
        cores = int(found["device"]["cores"])
        say(f"NLL, images/s per core of {cores}: {np.median(rates['nll']) / cores:.1f}")
    if config.quick:
        say(f"--check: {rounds} rounds of {seconds} s a row; these figures are no measurement")
    if counted:
        drawn = places[0].with_name(PICTURE)
        roofline.picture(counted, rates).savefig(drawn, dpi=150)
        say(f"picture: {drawn}")
    say(f"results: {places[0]}")
    return found


def _place(folder: Path, resume: bool) -> Path:
    """The file of the results in a folder that is new, empty or holds results."""
    flag, file = f"--workdir={folder}", folder / RESULTS
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = any(folder.iterdir())
    except OSError as error:
        raise UsageError(f"{flag}: {error.strerror or error}") from error
    if held and not file.exists():
        raise UsageError(f"{flag}: the folder holds other files; name an empty or a new one")
    if held and not resume:
        raise UsageError(f"{flag}: the folder holds results and --noresume was given; name a new")
    return file


def _file(path: str) -> Path:
    file = Path(path)
    if not os.path.isdir(file.parent) or os.path.isdir(file) or len(file.name) > 255:
        raise UsageError(f"--json={configs.shown(path)}: name a file in a folder that is there")
    return file
