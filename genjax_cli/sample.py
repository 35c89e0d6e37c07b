"""`genjax sample`: pictures, points or texts of a trained model."""

import json
from dataclasses import dataclass
from pathlib import Path

from genjax.core import writable
from genjax.core.config import Options, option, shown
from genjax.core.errors import UsageError, one_line
from genjax.core.files import RECORD
from genjax.core.progress import say
from genjax_cli import runs
from genjax_cli.ending import ending, put, read

ABOUT = """\
Draws from a trained model: pictures of autoencoders and GANs, points of GANs of points, texts of
language models.

    {command} runs/vae/vae_digits --arm=vae
    {command} runs/gan/gan_ring --arm=pacgan2 --out=points.csv
    {command} runs/domains/mine --prompt="It was" --n=3
    {command} exported_folder

A run is named by its folder, or the last part of it. Pictures and points go to samples/ in it, and
texts to the terminal, unless --out names a file."""

# The files that hold each kind, the default first.
ENDINGS = {"pictures": (".png", ".npz"), "points": (".npz", ".csv"), "texts": (".txt", ".json")}
# Pixels of a picture's longer side in a grid, at least, and white ones between two.
SIDE, BETWEEN = 32, 2


@dataclass(frozen=True)
class Config(Options):
    """Of which model, and how much."""

    arm: str | None = option(None, "Default: the first of the run.")
    seed: int | None = option(None, "Seed that the model was trained with. Default: the first.")
    n: int | None = option(
        None, "Samples. Default: 64 pictures, 1,000 points or 8 texts.", low=1, high=1_000_000
    )
    out: str | None = option(
        None, "File: .png or .npz of pictures, .npz or .csv of points, .txt or .json of texts."
    )
    prompt: str = option("", "What a text begins with.")
    tokens: int | None = option(
        None, "Length of a text behind the prompt. Default: to the end of the window.", low=1
    )
    draw: int = option(0, "Seed of the noise: another one, other samples.", low=0)
    force: bool = option(False, "Replace a file that is there.")


def main(arguments: list[str], command: str) -> None:
    """Draws what the arguments ask for, and says where it lies."""
    with ending(command):
        asked = read(Config, arguments, command, ABOUT, words=True)
        put(sample(runs.one(asked.words, command, exported=True), asked.config))


def sample(folder: Path, config: Config) -> str:
    """Draws from the model of a run's folder, or of an exported one's; returns what to say."""
    if config.out:  # Before the imports.
        writable.require(f"--out={shown(config.out)}", Path(config.out).parent)
    import jax

    from genjax.export import Exported
    from genjax.run import Run

    opened = Exported(folder) if (folder / RECORD).exists() else Run(folder)
    _, arm, seed = opened.trained(config.arm, config.seed)
    experiment = opened.experiment
    kinds = ["texts"] if experiment.texts else ["pictures", "points"]
    if not (experiment.texts or experiment.samples):
        raise UsageError(
            f"{folder}: its models answer, there is nothing to draw; from Python: "
            f"genjax.open({str(folder)!r}).model({arm!r}, {seed})"
        )
    if not experiment.texts and (config.prompt or config.tokens):
        raise UsageError("--prompt and --tokens: of language models alone")
    _require_free(config, dict.fromkeys(end for kind in kinds for end in ENDINGS[kind]))
    model, key = opened.model(arm, seed), jax.random.key(config.draw)
    if experiment.texts:
        made = experiment.texts(model, key, config.n, config.prompt, config.tokens)
        kind = "texts"
    else:
        assert experiment.samples is not None
        made = experiment.samples(model, key, config.n)
        kind = "points" if made.ndim == 2 else "pictures"
    about = f"{len(made)} {kind} of {arm}, seed {seed}, step {model.step}"
    if kind == "texts" and not config.out:
        say(about)
        return _together(made)
    out = Path(config.out or folder / "samples" / f"{arm}_seed{seed}{ENDINGS[kind][0]}")
    _require_free(config.replace(out=str(out)), ENDINGS[kind])
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        WRITERS[out.suffix](out, made)
    except OSError as error:
        raise UsageError(f"--out={out}: cannot be written: {one_line(error)}") from error
    if isinstance(opened, Run) and len(opened.config.arms()) > 1 and not config.arm:
        about += f"; of the arms {', '.join(opened.config.arms())}"
    return f"{out}: {about}"


def _require_free(config: Config, endings) -> None:
    """Raises UsageError for a file of another kind, and one that is there already."""
    if not config.out:
        return
    path = Path(config.out)
    if path.suffix not in endings:
        raise UsageError(f"--out={path}: ends in one of {', '.join(endings)}")
    if path.exists() and not config.force:
        raise UsageError(f"--out={path}: is there already; --force replaces it")


# --- Files ---------------------------------------------------------------------------------------


def _together(texts: list[str]) -> str:
    return "\n---\n".join(texts)


def grid(images):
    """Images [n, h, w, c] in [0, 1] as one picture: in rows of about as many, small ones enlarged.

    Returns bytes [H, W] or [H, W, 3].
    """
    import numpy as np

    n, h, w, channels = images.shape
    columns = int(np.ceil(np.sqrt(n)))
    rows, times = -(-n // columns), -(-SIDE // max(h, w))
    images = images.repeat(times, 1).repeat(times, 2)
    edge = ((0, rows * columns - n), (0, BETWEEN), (0, BETWEEN), (0, 0))
    cells = np.pad(images, edge, constant_values=1.0)
    _, h, w, _ = cells.shape
    whole = cells.reshape(rows, columns, h, w, channels).swapaxes(1, 2)
    whole = whole.reshape(rows * h, columns * w, channels)[:-BETWEEN, :-BETWEEN]
    found = np.round(255 * np.clip(whole, 0, 1)).astype(np.uint8)
    return found[..., 0] if channels == 1 else found


def _png(path: Path, images):
    from PIL import Image

    Image.fromarray(grid(images)).save(path)


def _npz(path: Path, made):
    import numpy as np

    np.savez_compressed(path, **{"points" if made.ndim == 2 else "images": made})


def _csv(path: Path, points):
    import numpy as np

    names = ",".join(f"x{i}" for i in range(points.shape[1]))
    # Nine digits are a float32.
    np.savetxt(path, points, fmt="%.9g", delimiter=",", header=names, comments="")


WRITERS = {
    ".png": _png,
    ".npz": _npz,
    ".csv": _csv,
    ".txt": lambda path, texts: path.write_text(_together(texts) + "\n"),
    ".json": lambda path, texts: path.write_text(json.dumps(texts, indent=1) + "\n"),
}
