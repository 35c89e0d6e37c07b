"""The claims of the VAE experiment, V1 to V6, and their thresholds.

Thresholds were fixed before any run. The start of the learned decoder scale was changed after one,
and V1 and V4 exchanged their verdicts (docs/notes/vae.md).
"""

import math

import numpy as np

from genjax import claims
from genjax.vae.config import Config


def judge(found: dict, config: Config) -> list[dict]:
    """The six claims, where both sides were trained.

    found: {"arm/measure": [seeds]}, of one value where no seed matters.
    """
    arms, seeds, samplers = config.arms(), config.seeds, config.samplers
    ae, vae = (next((a for a in arms if arms[a].model == n), None) for n in ("ae", "vae"))

    def compare(id, statement, left, right, direction, threshold=0.0, transform=np.asarray):
        # A side that does not depend on the seed, such as PCA, is compared with every seed.
        sides = [found[path] * (seeds // len(found[path])) for path in (left, right)]
        # What is not a number is None once it was written.
        if "@" in left + right:
            statement += f" ({left}, {right})"
        left, right = (transform(np.asarray(side, float)) for side in sides)
        return claims.claim(id, statement, left, right, threshold=threshold, direction=direction)

    made = []
    if ae and vae:
        made += [
            compare(
                "V1",
                "At equal latent size the AE reconstructs better than the VAE: MSE(AE) - MSE(VAE)",
                f"{ae}/mse",
                f"{vae}/mse",
                "less",
            ),
            compare(
                "V3",
                "The VAE's aggregated posterior is nearer to N(0, I): MMD(VAE) - MMD(AE)",
                f"{vae}/mmd",
                f"{ae}/mmd",
                "less",
            ),
            compare(
                "V4",
                "The VAE's interpolations are smoother: roughness(VAE) - roughness(AE)",
                f"{vae}/roughness",
                f"{ae}/roughness",
                "less",
            ),
        ]
    if ae and vae and "normal" in samplers:
        made.append(
            compare(
                "V2",
                "From N(0, I) the VAE's samples beat the AE's: kFID(VAE) - kFID(AE)",
                f"{vae}/normal/kfid",
                f"{ae}/normal/kfid",
                "less",
            )
        )
    if ae:
        statement = "AE codes beat PCA of the same size at reconstruction and at the linear probe"
        parts = [
            compare("V5a", "MSE(AE) - MSE(PCA)", f"{ae}/mse", "pca/mse", "less"),
            compare(
                "V5b",
                "probe accuracy(AE) - probe accuracy(PCA), all labels",
                f"{ae}/probe/all",
                "pca/probe/all",
                "greater",
            ),
        ]
        made.append(claims.both("V5", statement, parts))
    if ae and vae and "gmm" in samplers:
        made.append(
            compare(
                "V6",
                "With the same fitted mixture the AE samples as well as the VAE or better: "
                "log kFID(AE) - log kFID(VAE) below log 1.1",
                f"{ae}/gmm/kfid",
                f"{vae}/gmm/kfid",
                "less",
                threshold=math.log(1.1),
                transform=np.log,
            )
        )
    return sorted(made, key=lambda claim: claim["id"])
