"""What the page of a GAN run says of itself: the question, and the words that it uses. No jax."""

from pathlib import Path

from genjax.gan.config import Config
from genjax.report.about import About, Term

SHARE, NATS = "share, 0 to 1", "nats"
ROWS = {
    "truth": Term(
        "Perfect samples: fresh draws of the data's own law, as many as a model gives. No "
        "model can be asked to beat them."
    ),
    "lost": Term("A control: perfect samples without a quarter of the modes."),
    "thin": Term("A control: perfect samples whose modes are 0.6 times as wide."),
    "blurred": Term(
        "A control: perfect samples whose modes are twice as wide; of images, with noise of 0.5."
    ),
    "noise": Term("A control: points drawn evenly over the plane, or images of random pixels."),
    "@last": Term("The last training step alone, in place of the mean over the final window."),
    "@early": Term("The mean over an early window of training."),
    "@untrained": Term("The same networks before their first training step."),
    "@noised": Term("A control: every second sample replaced by one of `noise`."),
    "@#": Term("The same flow, drawn with this many steps of its solver."),
}
MEASURES = {
    "modes": Term(
        "Modes reached: those with at least one sample within three standard deviations; of "
        "images, those that the classifier names at least once.",
        "modes",
    ),
    "held": Term(
        "Modes held: those with a quarter of their weight or more, where `modes` counts single "
        "samples.",
        "modes",
    ),
    "full": Term("How often all modes were reached.", "share of evaluations"),
    "high_quality": Term(
        "High quality: samples within three standard deviations of a mode. Perfect samples "
        "have 0.989 of them; more means modes that are too thin.",
        SHARE,
    ),
    "reverse_kl": Term(
        "Kullback-Leibler divergence of the modes' shares from the data's, each sample "
        "counted at its nearest mode; 0 for even shares.",
        NATS,
    ),
    "reverse_kl_hq": Term(
        "Divergence of the modes' shares from the data's, of samples of high quality alone.", NATS
    ),
    "kl": Term("Kullback-Leibler divergence of the modes' shares from equal shares.", NATS),
    "mode_tv": Term(
        "Total variation of the modes' shares: half the sum of |share - weight|, samples at "
        "no mode counted against it. 0: even shares, 1: nothing right.",
        SHARE,
    ),
    "spread": Term(
        "Width of a mode, of perfect samples 1; below 1 modes are too thin.",
        "of a perfect mode's width",
    ),
    "eigenvalue_ratio": Term(
        "Roundness of a mode: least over greatest variance; a circle has 1.", "ratio, 0 to 1"
    ),
    "precision": Term(
        "Samples that lie nearer to a real point than its third-nearest real neighbour "
        "(Kynkäänniemi et al. 2019).",
        SHARE,
    ),
    "recall": Term(
        "Real points that lie as near to a generated one: precision with the roles exchanged.",
        SHARE,
    ),
    "density": Term(
        "Like precision, but counting in how many real neighbourhoods a sample lies (Naeem et"
        " al. 2020); about 1 for perfect samples.",
        "of 1, may be more",
    ),
    "coverage": Term(
        "Real points whose five nearest neighbours' ball holds a sample (Naeem et al. 2020).", SHARE
    ),
    "recall_thinned": Term(
        "Recall of real points that were first made as thin, mode by mode, as the samples "
        "are: lost modes alone lower it.",
        SHARE,
    ),
    "recall_lost": Term("What lost modes alone take from recall_thinned.", SHARE),
    "log_jacobian": Term(
        "Mean logarithm of how strongly the output moves with the latent. Low: different "
        "inputs, nearly the same output.",
        "log of the data's spread a unit",
    ),
    "vendi": Term("Vendi score: an effective number of different samples.", "samples"),
    "birthday_support": Term(
        "How many different samples there seem to be, from how soon two are alike (the "
        "birthday paradox).",
        "samples",
    ),
    "ndb": Term(
        "Bins of the real data in which samples are significantly too many or too few; 0.05 "
        "for perfect samples.",
        "share of bins",
    ),
    "js": Term("Jensen-Shannon divergence of those bins' shares.", NATS),
    "contrast": Term(
        "Mean distance of two samples, of two perfect ones 1; 0 where all are one.",
        "of perfect samples'",
    ),
}
WORDS = {
    "mode": Term(
        "A cluster of the data: a Gaussian, or a class of images. A GAN that never generates "
        "one has lost it."
    ),
    "collapse": Term("A GAN that generates few of the data's modes."),
    "packing": Term(
        "PacGAN: the discriminator judges several samples at once, so that alike ones give "
        "themselves away."
    ),
    "flow matching": Term(
        "A generative model without a discriminator: a net learns the velocity that carries "
        "noise to data; sampling solves that equation in steps."
    ),
    "RpGAN with R1 and R2": Term(
        "A GAN whose loss compares pairs of real and generated samples, with penalties on the"
        " discriminator's slope (R3GAN)."
    ),
    "final window": Term(
        "The last part of training, fixed before the run, over whose evaluations a figure is "
        "a mean."
    ),
    "ring": Term("Eight Gaussians on a circle in the plane."),
    "grid": Term("Twenty-five Gaussians on a square grid in the plane."),
}

ABOUT = About(
    config=Config,
    question="Does a GAN lose modes of the data, and do its remedies bring them back?",
    asserts={
        "G1": "a GAN without any remedy loses modes",
        "G2a": "the samples that such a GAN gives look fine all the same",
        "G4a": "packing, which shows the discriminator several samples at once, reaches more modes",
        "G4b": "packing makes the modes' shares more even",
        "G6a": "RpGAN with R1 and R2 holds every mode",
        "G8a": "flow matching, a method without a discriminator, holds every mode",
        "G8c": "flow matching covers the data better, at equal cost",
        "G8d": "more of flow matching's samples lie at a mode, at equal cost",
    },
    beside={
        "samples": ("G1", "G6a", "G8a"),
        "landscape": ("G2b",),
        "slopes": ("G3",),
        "mode_histogram": ("G4b", "G7a"),
        "curves": ("G4a", "G5", "G8c"),
    },
    terms=ROWS | MEASURES | WORDS,
    ledger=Path(__file__).with_name("ledger.json"),
)
