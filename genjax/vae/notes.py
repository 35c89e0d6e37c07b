"""What a reader of a run must know beside its figures."""

from genjax.vae.config import Config


def notes(config: Config, found: dict) -> list[str]:
    """What a reader must know beside the figures."""
    lines = [
        "Samples are decoder means, without pixel noise; sampler fits see training images only.",
        "kFID and kKID compare features of a small classifier trained on this data set: they rank "
        "models within one run, and are not the FID of other papers.",
    ]
    if "pixels/probe/all" not in found:
        lines.append(
            "The training images are of one class: nothing is read from codes (probe, knn), "
            "samples have no balance of classes, V5b is not judged, and kFID and kKID compare "
            "features of an untrained net."
        )
    likelihoods = {arm.likelihood for arm in config.arms().values()}
    if "bernoulli" in likelihoods and config.binarize == "none":
        lines.append("A Bernoulli decoder on grey levels: its 'nats' are a cross-entropy, no NLL.")
    if any(f"{name}/decoder_std" in found for name in config.arms()):
        lines.append(
            "Gaussian decoder: NLL is a density over grey levels in [0, 1], and may be negative; "
            "the decoder's standard deviation is a column of the table."
        )
    for name in config.arms():
        dead = [i for i, units in enumerate(found[f"{name}/active_units"]) if not units]
        if dead:
            seeds = ", ".join(str(config.seed + i) for i in dead)
            lines.append(
                f"{name}, seed {seeds}: no active unit. The posterior collapsed onto the prior; "
                "this is a model of the mean image, not a trained one."
            )
    return lines
