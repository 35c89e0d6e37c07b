"""The claims of the VAE experiment, V1 to V7: what is said, and what must not pass for it.

Sealed in ledger.json beside this file; a change is a new version there. Controls are figures of the
same run: what nothing was learned for, what a rescaling does, and what is known to be better.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from genjax import data
from genjax.claims import sealed
from genjax.claims.sealed import Claim, Looks, again
from genjax.vae.config import Config

LEDGER = Path(__file__).with_name("ledger.json")

# What nothing but the seed differs in.
AGAIN = "the autoencoder of the next seed"
# A rival that learnt nothing is beaten by anything.
LEARNT = "the VAE against the mean image"
AE_LEARNT = "the autoencoder against the mean image"
# What comes near to N(0, I) without a net.
LINEAR = "as many principal components, rescaled, in the VAE's place"
# Distances and paths are in the features of a classifier, which mean little where it reads nothing.
READS = "the classifier of the features, right on more than half of the test images of a class"
SHARE = "kKID to test images, that of images of uniform pixels = 1"
# A sampler that hands out codes of training images would be near to test images, too.
NEW = "its samples, farther from the nearest training image than reconstructions of those are"


def _claim(id: str, statement: str, estimand: str, **more) -> Claim:
    common = {
        "unit": "log ratio",
        "direction": "less",
        "threshold": 0.0,
        "replicate": "seed",
        "family": "vae",
        "version": 2,
        "date": "2026-11-23",
    }
    return Claim(id=id, statement=statement, estimand=estimand, **common | more)


class Judged(NamedTuple):
    """A claim, and how its values come from a run's figures.

    values, negative, positive: functions of `Figures` to one value a seed; controls in the order of
    the claim's names. needs: samplers without which it is not judged. vae: whether it takes a VAE.
    classes: whether it takes images of several classes.
    """

    claim: Claim
    values: Callable
    negative: Callable
    positive: Callable
    needs: tuple[str, ...] = ()
    vae: bool = True
    classes: bool = False


class Figures:
    """A run's figures by role: of(role, measure) -> [seeds].

    Roles are `ae` and `vae`, the first arm of each model, and the rows without training.
    """

    def __init__(self, found: dict, names: dict[str, str], seeds: int):
        self._found, self._names, self._seeds = found, names, seeds

    def of(self, role: str, measure: str) -> np.ndarray:
        """A measure over seeds; one that no seed matters to stands for each. None is nan."""
        values = self._found[f"{self._names.get(role, role)}/{measure}"]
        return np.asarray(values * (self._seeds // len(values)), float)

    def log(self, role: str, measure: str) -> np.ndarray:
        return np.log(self.of(role, measure))

    def far(self, role: str, sampler: str) -> np.ndarray:
        """kKID of samples as a share of that of noise images."""
        return self.of(role, f"{sampler}/kkid") / self.of("noise", "kkid")

    def copied(self, role: str, sampler: str) -> np.ndarray:
        """By how much samples are nearer to training images than reconstructions of those are, in
        distances of test images; below 0 where they are no copies."""
        copies = self.of(role, "posterior/memorisation")
        return copies - self.of(role, f"{sampler}/memorisation")

    def learnt(self, role: str) -> np.ndarray:
        """A net's error against that of the mean image, log ratio; below 0 where it learnt."""
        return self.log(role, "mse") - self.log("mean", "mse")

    @property
    def misread(self) -> np.ndarray:
        """The classifier's mean error over classes, less 1/2; of a single class there is nothing to
        read."""
        wrong = 1 - self.of("classifier", "mean_recall")
        return np.where(self.of("classifier", "classes") > 1, wrong, 1.0) - 0.5

    @property
    def floor(self) -> np.ndarray:
        """The same share of new real images."""
        return self.of("floor", "kkid") / self.of("noise", "kkid")


JUDGED = (
    Judged(
        _claim(
            "V1",
            "At equal latent size the autoencoder reconstructs {data} better than the VAE",
            "log MSE({ae}) - log MSE({vae}), test images",
            margin=0.05,
            why="a twentieth of the error cannot be seen in a picture",
            negative=("an untrained autoencoder in its place",),
            positive=(AE_LEARNT, LEARNT),
            version=3,
            date="2026-11-25",
        ),
        lambda f: f.log("ae", "mse") - f.log("vae", "mse"),
        lambda f: [f.log("untrained", "mse") - f.log("vae", "mse")],
        lambda f: [f.learnt("ae"), f.learnt("vae")],
    ),
    Judged(
        _claim(
            "V2",
            "As they come out, the VAE's samples from N(0, I) are nearer to {data} than the "
            "autoencoder's",
            "kKID({vae}) - kKID({ae}), test images",
            unit=SHARE,
            margin=0.01,
            why="new real images differ from test images by as much",
            negative=("the autoencoder, its codes rescaled to mean 0 and covariance I",),
            positive=("new real images", AE_LEARNT, LEARNT, READS),
            version=5,
            date="2026-11-25",
        ),
        lambda f: f.far("vae", "normal") - f.far("ae", "normal"),
        lambda f: [f.far("ae", "gaussian") - f.far("ae", "normal")],
        lambda f: [
            f.floor - f.far("ae", "normal"),
            f.learnt("ae"),
            f.learnt("vae"),
            f.misread,
        ],
        needs=("normal", "gaussian"),
    ),
    Judged(
        _claim(
            "V2b",
            "Once the autoencoder's codes are rescaled to mean 0 and covariance I, the VAE's "
            "samples from N(0, I) are still nearer to {data}",
            "kKID({vae}) - kKID({ae}, rescaled), test images",
            unit=SHARE,
            margin=0.01,
            why="new real images differ from test images by as much",
            negative=(LINEAR,),
            positive=("new real images", READS),
            version=5,
            date="2026-11-25",
        ),
        lambda f: f.far("vae", "normal") - f.far("ae", "gaussian"),
        lambda f: [f.far("pca", "gaussian") - f.far("ae", "gaussian")],
        lambda f: [f.floor - f.far("ae", "gaussian"), f.misread],
        needs=("normal", "gaussian"),
    ),
    Judged(
        _claim(
            "V3",
            "As they come out, the VAE's codes of {data} are nearer to N(0, I) than the "
            "autoencoder's",
            "MMD({vae}) - MMD({ae}) to N(0, I), draws for test images",
            unit="squared MMD",
            margin=0.005,
            why="so many draws of N(0, I) itself differ by as much from each other",
            negative=("the autoencoder, its codes rescaled to mean 0 and covariance I",),
            positive=("draws of N(0, I)",),
        ),
        lambda f: f.of("vae", "mmd") - f.of("ae", "mmd"),
        lambda f: [f.of("ae", "mmd_rescaled") - f.of("ae", "mmd")],
        lambda f: [f.of("ae", "mmd_normal") - f.of("ae", "mmd")],
    ),
    Judged(
        _claim(
            "V3b",
            "Once the autoencoder's codes are rescaled to mean 0 and covariance I, the VAE's codes "
            "of {data} are still nearer to N(0, I)",
            "MMD({vae}) - MMD({ae}, rescaled) to N(0, I), draws for test images",
            unit="squared MMD",
            margin=0.005,
            why="so many draws of N(0, I) itself differ by as much from each other",
            negative=(LINEAR,),
            positive=("draws of N(0, I)",),
            version=3,
            date="2026-11-25",
        ),
        lambda f: f.of("vae", "mmd") - f.of("ae", "mmd_rescaled"),
        lambda f: [f.of("pca", "mmd_rescaled") - f.of("ae", "mmd_rescaled")],
        lambda f: [f.of("ae", "mmd_normal") - f.of("ae", "mmd_rescaled")],
    ),
    Judged(
        _claim(
            "V4",
            "Between two test images of {data}, the VAE's interpolations take a straighter path "
            "than the autoencoder's",
            "roughness({vae}) - roughness({ae})",
            unit="path length / distance",
            margin=0.02,
            why="a fiftieth of the path",
            negative=(AGAIN,),
            # Nets that learnt nothing take straight paths, too.
            positive=("as many principal components", LEARNT, READS),
            version=5,
            date="2026-11-25",
        ),
        lambda f: f.of("vae", "roughness") - f.of("ae", "roughness"),
        lambda f: [again(f.of("ae", "roughness"))],
        lambda f: [
            f.of("pca", "roughness") - f.of("ae", "roughness"),
            f.learnt("vae"),
            f.misread,
        ],
    ),
    Judged(
        _claim(
            "V5a",
            "The autoencoder reconstructs {data} better than as many principal components",
            "log MSE({ae}) - log MSE(PCA), test images",
            margin=0.05,
            why="a twentieth of the error cannot be seen in a picture",
            negative=("an untrained autoencoder",),
            positive=(AE_LEARNT,),
        ),
        lambda f: f.log("ae", "mse") - f.log("pca", "mse"),
        lambda f: [f.log("untrained", "mse") - f.log("pca", "mse")],
        lambda f: [f.learnt("ae")],
        vae=False,
    ),
    Judged(
        _claim(
            "V5b",
            "A linear probe reads the class of {data} better from the autoencoder's codes than "
            "from as many principal components",
            "accuracy({ae}) - accuracy(PCA), all labels",
            unit="share of test images",
            direction="greater",
            margin=0.01,
            why="one image in a hundred",
            negative=("the codes of an untrained autoencoder",),
            positive=("all pixels",),
            version=3,
        ),
        lambda f: f.of("ae", "probe/all") - f.of("pca", "probe/all"),
        lambda f: [f.of("random", "probe/all") - f.of("pca", "probe/all")],
        lambda f: [f.of("pixels", "probe/all") - f.of("pca", "probe/all")],
        vae=False,
        classes=True,
    ),
    Judged(
        _claim(
            "V6",
            "From the same mixture, fitted to its codes, the autoencoder's samples are nearer to "
            "{data} than the VAE's",
            "kKID({ae}) - kKID({vae}), samples of the fitted mixture",
            unit=SHARE,
            margin=0.01,
            why="new real images differ from test images by as much",
            negative=("as many principal components in the autoencoder's place",),
            # Not new real images: where the VAE's are as near as those, nothing could pass.
            positive=("as many principal components in the VAE's place", NEW, LEARNT, READS),
            version=7,
            date="2026-11-25",
        ),
        lambda f: f.far("ae", "gmm") - f.far("vae", "gmm"),
        lambda f: [f.far("pca", "gmm") - f.far("vae", "gmm")],
        lambda f: [
            f.far("ae", "gmm") - f.far("pca", "gmm"),
            f.copied("ae", "gmm"),
            f.learnt("vae"),
            f.misread,
        ],
        needs=("gmm", "posterior"),
    ),
    Judged(
        _claim(
            "V6b",
            "From a flow trained on its codes, a second stage, the autoencoder's samples are "
            "nearer to {data} than the VAE's",
            "kKID({ae}) - kKID({vae}), samples of a flow trained on codes",
            unit=SHARE,
            margin=0.01,
            why="new real images differ from test images by as much",
            negative=("as many principal components, from a mixture, in its place",),
            positive=("new real images", NEW, LEARNT, READS),
            version=5,
            date="2026-11-25",
        ),
        lambda f: f.far("ae", "flow") - f.far("vae", "flow"),
        lambda f: [f.far("pca", "gmm") - f.far("vae", "flow")],
        lambda f: [
            f.floor - f.far("vae", "flow"),
            f.copied("ae", "flow"),
            f.learnt("vae"),
            f.misread,
        ],
        needs=("flow", "gmm", "posterior"),
    ),
    Judged(
        _claim(
            "V7",
            "A flow trained on its codes, a second stage, brings the autoencoder's samples nearer "
            "to {data} than a Gaussian fitted to them does",
            "kKID({ae}, flow) - kKID({ae}, Gaussian), test images",
            unit=SHARE,
            margin=0.01,
            why="new real images differ from test images by as much",
            negative=("draws of N(0, I), nothing fitted, in the flow's place",),
            positive=("codes of training images", NEW, READS),
            version=4,
            date="2026-11-25",
        ),
        lambda f: f.far("ae", "flow") - f.far("ae", "gaussian"),
        lambda f: [f.far("ae", "normal") - f.far("ae", "gaussian")],
        lambda f: [
            f.far("ae", "posterior") - f.far("ae", "gaussian"),
            f.copied("ae", "flow"),
            f.misread,
        ],
        needs=("flow", "normal", "gaussian", "posterior"),
        vae=False,
    ),
)
CLAIMS = tuple(judged.claim for judged in JUDGED)


def judge(found: dict, config: Config) -> list[dict]:
    """The claims whose sides were trained.

    found: {"arm/measure": [seeds]}, of one value where no seed matters. Of a sweep over decoder
    scales the first is judged.
    """
    arms = config.arms()
    firsts = {n: next((a for a in arms if arms[a].model == n), "") for n in ("ae", "vae")}
    figures = Figures(found, firsts, config.seeds)
    named = data.name(config.data, config.binarize).removesuffix("/none").rpartition(":")[2]
    names = firsts | {"data": named}
    made = [
        sealed.judge(
            judged.claim,
            judged.values(figures),
            negative=sealed.controls(judged.claim.negative, judged.negative(figures)),
            positive=sealed.controls(judged.claim.positive, judged.positive(figures)),
            grounds=(READS,),
            looks=Looks(sequential=config.max_seeds > 0),
            names=names,
        )
        for judged in JUDGED
        if firsts["ae"]
        and (firsts["vae"] or not judged.vae)
        and ("pixels/probe/all" in found or not judged.classes)
        and {*judged.needs} <= {*config.samplers}
    ]
    return sealed.family(made)
