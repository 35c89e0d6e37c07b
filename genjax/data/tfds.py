"""TensorFlow Datasets: preparing an image data set needs TensorFlow, reading it does not."""

import contextlib
import io
import os
import re
import shutil
import sys
import textwrap
import urllib.error
from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from genjax.core import extras
from genjax.core.config import nearest
from genjax.core.errors import UsageError
from genjax.data import rows, tfds_names

_RECORDS_A_READ = 1024


def read(
    name: str, data_dir: str | None, manual_dir: str | None, *, stay: bool = False
) -> tuple[dict, dict]:
    """The train and the test examples of `tfds:<name>`, which is prepared first if it is not yet.

    Each is `{"image": float32 [n, height, width, channels] in [0, 1], "label": int32 [n]}`, in the
    order in which tfds stores them. stay: images as `rows.Rows`, which stay on disk, and labels
    as a function, which reads them of all records.

    Raises:
      UsageError: a package, the network or a file is missing, or it is no such data set.
    """
    flag = f"--data=tfds:{name}"
    extras.require("tfds", flag)
    if manual_dir is not None and not os.path.isdir(os.path.expanduser(manual_dir)):
        raise UsageError(f"--tfds_manual_dir={manual_dir}: there is no such folder")

    # Where TensorFlow is missing, tfds prints a banner at every place that would use it.
    with contextlib.redirect_stdout(io.StringIO()):
        builder = _builder(flag, name, data_dir)
        _check_features(flag, builder.info.features)
        root = Path(os.path.expanduser(data_dir or _default_folder()))
        with _no_debris(root, builder.name):
            _prepare(flag, builder, manual_dir)
    if not {"train", "test"} <= set(builder.info.splits):
        splits = ", ".join(builder.info.splits)
        raise UsageError(f"{flag}: the splits train and test are needed, it has {splits}")
    read_split = _open_split if stay else _read_split
    return read_split(flag, builder, "train"), read_split(flag, builder, "test")


def _builder(flag: str, name: str, data_dir: str | None):
    import tensorflow_datasets as tfds

    try:
        return tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError as error:
        own, there = re.split("[:/]", name)[0], tfds_names.names()
        if tfds_names.snake(own) in there:  # Which tfds leaves out where an import fails.
            raise UsageError(
                f"{flag} is not prepared in {data_dir or _default_folder()}, and its preparation "
                "needs a package that is missing, such as tensorflow"
            ) from error
        known = tfds.list_builders(with_community_datasets=False)
        near = nearest(own, known, "see tfds.list_builders()")
        raise UsageError(f"{flag}: tfds knows no such data set{near}") from error
    except (AssertionError, ImportError, OSError, ValueError) as error:
        line = f"{flag}: {_one_line(error)}"  # such as a version that is not there
        raise (_missing_module(flag, error) or UsageError(line)) from error


def _default_folder() -> str:
    from tensorflow_datasets.core import constants

    return constants.DATA_DIR


@contextlib.contextmanager
def _no_debris(root: Path, name: str):
    """Where the work fails, takes away unfinished files, and empty folders that it made."""
    downloads = root / "downloads"
    places = [root / name, downloads / name, downloads / "extracted"]

    def there() -> set[Path]:
        inside = {path for place in places for path in place.rglob("*")}
        return inside | {
            path for path in (*places, downloads, root, *root.parents) if path.exists()
        }

    before = there()
    try:
        yield
    except BaseException:
        made = sorted(there() - before, reverse=True)  # What is inside comes before its folder.
        for path in made:
            if ".tmp." in path.name or ".incomplete" in path.name:
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                path.rmdir()  # Of empty folders alone.
        raise


def _check_features(flag: str, features) -> None:
    import tensorflow_datasets as tfds

    known: dict[str, Any] = {}
    if isinstance(features, tfds.features.FeaturesDict):
        known |= dict(features)
    if not {"image", "label"} <= set(known):
        found = ", ".join(known) or "neither"
        raise UsageError(f"{flag}: the features image and label are needed, it has {found}")
    image, label = known["image"], known["label"]
    if len(image.shape) != 3 or None in image.shape or image.np_dtype != np.uint8:
        raise UsageError(f"{flag}: images of bytes and of one size are needed, it has {image!r}")
    if label.shape != () or not np.issubdtype(label.np_dtype, np.integer):
        raise UsageError(f"{flag}: one whole number as label is needed, it has {label!r}")


def _prepare(flag: str, builder, manual_dir: str | None) -> None:
    """Downloads and stores the data set, and does nothing where that has been done."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download import download_manager, downloader

    # Its own ten tries keep a machine without a network waiting for more than three minutes.
    downloader.MAX_RETRIES = 4
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    asked = tfds.download.DownloadConfig(
        manual_dir=manual_dir and Path(os.path.expanduser(manual_dir)), try_download_gcs=False
    )
    try:
        # urllib3 says of each try that there is no network.
        with extras.quiet("urllib3"), _ended_downloads():
            builder.download_and_prepare(file_format="array_record", download_config=asked)
    except Exception as error:
        # tfds raises errors of many types over the one that tells what went wrong.
        usage_error = _missing_module(flag, error) or _no_network(flag, error)
        if usage_error:
            raise usage_error from error
        if isinstance(
            error,
            AssertionError  # no files in the manual folder
            | OSError
            | tfds.download.DownloadError
            | download_manager.NonMatchingChecksumError,
        ):
            raise UsageError(f"{flag} cannot be prepared: {_one_line(error)}") from error
        raise


@contextlib.contextmanager
def _ended_downloads():
    """On leaving, no download goes on: tfds raises at the first of several that fails, while the
    others still write files and messages from threads of their own."""
    from tensorflow_datasets.core.download import downloader

    made, make = [], downloader.get_downloader

    def kept(*args, **kwargs):
        made.append(downloader._Downloader(*args, **kwargs))  # tfds keeps its own for the next.
        return made[-1]

    downloader.get_downloader = kept
    try:
        yield
    finally:
        downloader.get_downloader = make
        for each in made:
            each._executor.shutdown(cancel_futures=True)


def _missing_module(flag: str, error: Exception) -> UsageError | None:
    for cause in _causes(error):
        if isinstance(cause, ModuleNotFoundError) and cause.name:
            return UsageError(
                f"{flag} is not prepared yet; the preparation, and nothing else, needs "
                f"{cause.name}: pip install {cause.name}"
            )
    return None


def _no_network(flag: str, error: Exception) -> UsageError | None:
    from requests import exceptions

    network = exceptions.ConnectionError | exceptions.Timeout | urllib.error.URLError
    causes = list(_causes(error))
    if not any(isinstance(cause, network) for cause in causes):
        return None
    return UsageError(
        f"{flag}: the network was not reachable for the download ({_one_line(causes[-1])}); give "
        "--tfds_manual_dir=<folder of its files> or --tfds_dir=<folder where it is prepared>, or "
        "use --data=digits or --data=idx:<folder>"
    )


def _source(flag: str, builder, split: str, **how):
    try:
        return builder.as_data_source(split, **how)
    except NotImplementedError as error:
        raise UsageError(
            f"{flag} is prepared in {builder.data_dir} as {builder.info.file_format.value}, which "
            "only TensorFlow reads; give another --tfds_dir to prepare it in"
        ) from error


def _open_split(flag: str, builder, split: str) -> dict:
    import tensorflow_datasets as tfds

    source = _source(flag, builder, split, decoders={"image": tfds.decode.SkipDecoding()})
    read, shape = (
        partial(_images, str(builder.data_dir), split),
        builder.info.features["image"].shape,
    )
    images = rows.rows(read, tuple(shape), len(source))
    return {"image": images, "label": partial(_labels, source)}


def _labels(source) -> np.ndarray:
    return np.array([record["label"] for record in source], np.int32)


def _images(folder: str, split: str, numbers) -> np.ndarray:
    records = _opened(folder, split).__getitems__([int(number) for number in numbers])
    return np.stack([record["image"] for record in records])


@lru_cache(maxsize=4)
def _opened(folder: str, split: str) -> Any:
    """What is prepared in a folder, whoever defined it."""
    with contextlib.redirect_stdout(io.StringIO()):
        import tensorflow_datasets as tfds

        builder: Any = tfds.builder_from_directory(folder)
        return builder.as_data_source(split)


def _read_split(flag: str, builder, split: str) -> dict[str, np.ndarray]:
    source = _source(flag, builder, split)
    image = np.empty((len(source), *builder.info.features["image"].shape), np.uint8)
    label = np.empty(len(source), np.int32)
    for start in range(0, len(source), _RECORDS_A_READ):
        part = range(start, min(start + _RECORDS_A_READ, len(source)))
        records = source.__getitems__(part)
        image[part.start : part.stop] = [record["image"] for record in records]
        label[part.start : part.stop] = [record["label"] for record in records]
    return {"image": np.divide(image, 255, dtype=np.float32), "label": label}


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _one_line(error: BaseException) -> str:
    return textwrap.shorten(str(error) or repr(error), 300)
