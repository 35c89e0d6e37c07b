"""What every experiment's command does: reads its flags, runs it, and ends with an exit code."""

import errno
import importlib
import os
import sys
from pathlib import Path
from typing import NamedTuple

from genjax_cli.ending import ending, put


class About(NamedTuple):
    """room: of genjax/. about: what its help begins with. alone: of several processes the first
    one measures."""

    room: str
    about: str
    alone: bool = False


EXPERIMENTS = {
    "vae": About("vae", """\
What does a VAE buy over an autoencoder, and what does it cost?

Trains autoencoders that differ in one thing each, all seeds of a model as one program, and measures
reconstruction, latent space, samples from several samplers, and likelihood. With --compare it ends
in one table and its claims:

    {command} --flagfile=vae_digits                    the published run, two minutes
    {command} --model=iwae --latent=4 --seeds=1        one model
    {command} --compare=ae,vae,vamp --seeds=6          several, with claims"""),
    "gan": About("gan", """\
Which modes does a GAN lose, and which remedy keeps them?

Trains one or several recipes ("arms") that differ in the switches named, all seeds of an arm as one
program, watches the modes of a known distribution along training, and ends in one table beside the
floor (perfect samples through the same measures) and in claims (genjax/gan/claims.py):

    {command} --flagfile=gan_ring                      the published run, two minutes
    {command} --data=grid25 --pack=3 --seeds=2         one recipe
    {command} --arm=gan --arm=pac3:pack=3              several, with claims"""),
    "attention": About("scaling", """\
When is O(n^2) visible, what do sparse, low-rank and linear attention save, what do they lose?

Sweeps the length for every variant, forward and backward, interleaved over rounds; fits the
exponents of time and memory; probes what each approximation loses against the exact result; and
ends in tables, log-log pictures and claims (genjax/scaling/claims.py):

    {command} --flagfile=attention_cpu                 the published run, five minutes
    {command} --variants=flash,linear --lengths=1024,2048,4096""", alone=True),
    "domains": About("domains", """\
How far does a language model carry to a domain it never saw, and what moves the gap?

Trains language models on some domains and measures them on all: architecture, the number of
training domains at a fixed token budget, and finetuning are switches of an arm. Arms may start from
each other, so that a study is a graph of runs. On the default data, a grid of hidden Markov models,
the optimum is exact; text comes from a folder.

    {command} --flagfile=domains_grid                  the published run, five minutes
    {command} --arm=few:domains=diagonals1 --arm=many:domains=diagonals3"""),
    "benchmark": About("benchmark", """\
Speed as ratios measured in one run: against this machine's own products, and against peers.

    {command} --only=vae     or --only=gan, --only=attention, --only=lm
    {command} --check        two short rounds, in minutes; no measurement

All rows are measured in rounds, in a random order each, so that a change of the machine's clock
meets them alike. The peers run in a process of their own where they are installed
(pip install -r requirements-peers.txt); it sleeps while JAX is measured, and the other way round.
FLOPs and bytes are those of the compiled programs; roofline.png shows them below what the machine
does. What was measured is said, and lies in results.json of --workdir; the same command measures
anew.""", alone=True),
}  # fmt: skip


def script(name: str) -> None:
    """experiments/<name>.py, with the arguments of the process."""
    launch(name, sys.argv[1:], f"python experiments/{name}.py", called=Path(sys.argv[0]).name)


def launch(name: str, arguments: list[str], command: str, called: str = "") -> None:
    """Runs an experiment as its arguments ask; ends the process where it cannot.

    command: how it is called, as its help says. called: what its refusals begin with.
    """
    room, about, _ = EXPERIMENTS[name]
    with ending(called or command):  # First of all: importing the rest takes seconds.
        from genjax.core import flags
        from genjax.core.errors import RunError, UsageError
        from genjax.data import places

        kind = importlib.import_module(f"genjax.{room}.config").Config
        asked = flags.parse(kind, name, arguments)
        if asked.help:
            full = asked.help == "helpfull"
            put(flags.help_text(kind, command, about.format(command=command), full=full))
            return
        _require_place(asked.place)
        places.require(asked.config)
        asked.config.require()
        try:
            _run(name, asked)
        except Exception as error:
            if isinstance(error, UsageError | RunError) or not _storage_failed(error):
                raise
            said = str(error).strip().split("\n")[0][:200]
            where = f"--workdir={asked.place.workdir}"
            raise UsageError(f"{where}: cannot be written: {said}") from error


def _require_place(place) -> None:
    """What a run would say of its flags in seconds, before the imports."""
    from genjax.core import plugins, writable
    from genjax.core.config import shown

    if place.distributed == "off":  # Else the first of the processes alone keeps the folder.
        writable.require(f"--workdir={shown(place.workdir)}", place.workdir)
    if place.compile_cache not in ("", "off"):
        flag = f"--compile_cache={shown(place.compile_cache)}"
        writable.require(flag, place.compile_cache, "name another folder or 'off'")
    plugins.require(place.platform)


def _run(name, asked):
    from absl import logging

    room, _, alone = EXPERIMENTS[name]
    logging.set_verbosity(logging.FATAL)  # What matters is raised, and said in one line.
    run = importlib.import_module(f"genjax.{room}.experiment").run
    place = asked.place
    if alone:
        from genjax.core import processes

        count, rank = processes.numbers(place.distributed)
        if rank:
            return
        if count > 1:
            where = f"process 0 alone measures, on its own devices; the other {count - 1} end"
            print(f"{name}: of {count} processes {where}", file=sys.stderr)
    more = {} if alone else {"distributed": place.distributed}
    if asked.config.curves:
        more |= {"writers": place.all_writers, "live": place.live, "profile": place.profile}
    run(
        asked.config,
        place.workdir,
        resume=place.resume,
        compile_cache=place.compile_cache,
        platform=place.platform,
        **more,
    )


def _storage_failed(error: BaseException) -> bool:
    codes = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
    if isinstance(error, OSError):
        return error.errno in codes
    # Orbax and tensorstore report the system's error as text.
    return any(os.strerror(code) in str(error) for code in codes)
