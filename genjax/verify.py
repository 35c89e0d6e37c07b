"""Repeats published verdicts on fresh seeds, here, and keeps account of what came of it."""

import dataclasses
import datetime
import importlib
import json
import re
import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from genjax.claims.replication import DECIDED, outcome
from genjax.core import config as configs
from genjax.core import shipped, writable
from genjax.core.config import LARGEST, Options, option
from genjax.core.errors import UsageError, no_folder
from genjax.core.progress import say
from genjax.report.results import TRIES, read

UNITS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True)
class Config(Options):
    """What is to be repeated."""

    claims: tuple[str, ...] = option(
        (), "Claims to repeat, such as V1,G4. Empty: every decided one.", distinct=True
    )
    flagfiles: tuple[str, ...] = option(
        (), "Published runs to repeat, such as vae_digits. Empty: all.", distinct=True
    )
    budget: str = option(
        "", "Time, such as 90s, 20m or 2h: nothing is begun that would take longer. Empty: none."
    )
    results: str = option(
        "", "Folder of what was published. Default: what came with genjax.", place=True
    )
    tries: str = option(
        "",
        f"Folder whose {TRIES} each try is appended to. Default: --results, or "
        "results/ of a checkout, else runs/ here.",
        place=True,
    )

    def check(self) -> None:
        """Raises UsageError for a time that is none."""
        _ = self.seconds

    @property
    def seconds(self) -> float:
        """The budget in seconds; infinite without one."""
        if not self.budget:
            return float("inf")
        found = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)([smh])", self.budget)
        if not found or not float(found[1]):
            raise UsageError(f"--budget={configs.shown(self.budget)}: such as 90s, 20m or 2h")
        return float(found[1]) * UNITS[found[2]]


def published(config: Config) -> dict[str, dict]:
    """{flagfile: what was published} of the flagfiles that are asked for.

    Raises UsageError where a flagfile or a claim is unknown.
    """
    folder = config.results or str(shipped.RESULTS)
    found = read(folder)
    if not found:
        raise UsageError(f"--results={folder}: nothing published there (*.json)")
    for name in config.flagfiles:
        if name not in found:
            raise UsageError(f"--flagfiles={name}: not published{configs.nearest(name, found)}")
    known = sorted({one["id"] for result in found.values() for one in result["claims"]})
    for name in config.claims:
        if name not in known:
            raise UsageError(f"--claims={name}: no such claim{configs.nearest(name, known)}")
    return {n: r for n, r in found.items() if not config.flagfiles or n in config.flagfiles}


def chosen(config: Config) -> dict[str, dict]:
    """{flagfile: what was published} with decided claims that are asked for.

    Raises UsageError where there is none.
    """
    every = published(config)
    found = {name: result for name, result in every.items() if wanted(config, result)}
    if not found:
        raise UsageError(f"--claims={','.join(config.claims)}: nothing decided was published")
    return found


def wanted(config: Config, result: dict) -> list[dict]:
    """The decided claims of a published run that are asked for."""
    return [
        claim
        for claim in result["claims"]
        if claim["verdict"] in DECIDED and (not config.claims or claim["id"] in config.claims)
    ]


def run(config: Config) -> Iterator[dict]:
    """Repeats one published run after another, each on a fresh block of seeds; yields each try.

    A try is appended to replications.jsonl when it is known. Raises UsageError where nothing fits
    into the time.
    """
    left = config.seconds
    log = Path(config.tries or config.results or shipped.TRIES) / TRIES
    asked = chosen(config)
    _require_writable(log.parent)
    least = min(result["minutes"] for result in asked.values())
    if 60 * least > left:
        raise UsageError(
            f"--budget={config.budget}: the shortest of what is asked took {least} minutes"
        )
    for name, result in asked.items():
        if 60 * result["minutes"] > left:
            say(f"{name}: {result['minutes']} minutes when it was published, more than is left")
            continue
        began = datetime.datetime.now(datetime.UTC)
        made, seeds = _again(result)
        verdicts = {claim["id"]: claim for claim in made["claims"]}
        for claim in wanted(config, result):
            now = verdicts.get(claim["id"])
            if not now or now["seal"] != claim["seal"]:
                say(f"{name}: {claim['id']} was published in another wording; publish it anew")
                continue
            one = {
                "claim": claim["id"],
                "seal": claim["seal"],
                "flagfile": name,
                "published": claim["verdict"],
                "found": now["verdict"],
                "outcome": outcome(claim["verdict"], now["verdict"]),
                "estimate": now["estimate"],
                "replicates": now["replicates"],
                "seeds": seeds,
                "date": began.isoformat(timespec="minutes"),
                **{key: made[key] for key in ("device", "versions", "commit")},
            }
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("a") as file:
                file.write(json.dumps(one) + "\n")
            yield one
        left -= (datetime.datetime.now(datetime.UTC) - began).total_seconds()


def _require_writable(folder: Path) -> None:
    """Raises UsageError for a folder to which no try can be appended: a run takes minutes."""
    where = f"--tries={configs.shown(folder)}"
    if folder.is_file():
        raise UsageError(f"{where}: {no_folder(folder)}")
    writable.require(where, folder)


def _again(result: dict) -> tuple[dict, list[int]]:
    """(summary, seeds) of a published configuration run anew on seeds from the system."""
    experiment = importlib.import_module(f"genjax.{result['room']}.experiment")
    config = configs.from_json(experiment.EXPERIMENT.config, result["flags"])
    first = secrets.randbelow(LARGEST - config.seeds)
    config = dataclasses.replace(config, seed=first)
    with tempfile.TemporaryDirectory() as folder:
        made = experiment.run(config, Path(folder) / result["flagfile"])
        return made.summary, config.all_seeds
