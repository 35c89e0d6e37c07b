"""What the page of an autoencoder run says of itself: the question, the words. No jax."""

from pathlib import Path

from genjax.report.about import About, Term
from genjax.vae.config import Config

SHARE, NATS, SQUARED = "share, 0 to 1", "nats an image", "squared distance of features"
ROWS = {
    "pca": Term(
        "Principal components, as many as a code has numbers: the best linear autoencoder."
    ),
    "noise": Term("Images of random pixels: the worst that a sample can be."),
    "floor": Term(
        "Validation images, real ones that no net was trained on, measured as if they were "
        "samples. No model can be asked to beat them."
    ),
    "mean": Term("The mean training image in place of every reconstruction."),
    "pixels": Term("The image itself in place of a code."),
    "untrained": Term("The autoencoder before its first training step: its reconstructions."),
    "random": Term("The autoencoder before its first training step: its codes."),
}
SAMPLERS = {
    "normal": Term("Samples from latents of N(0, I), the law that a VAE is trained to have."),
    "gaussian": Term(
        "Samples from one Gaussian fitted to the codes of training images; for an autoencoder"
        " that is N(0, I) of its rescaled codes."
    ),
    "gmm": Term("Samples from ten Gaussians fitted to the codes of training images."),
    "posterior": Term("Codes of training images, decoded: no new latents at all."),
    "flow": Term("Samples from a flow trained on the codes: a learned prior, a second stage."),
    "vamp": Term("Samples from the learned mixture of the VampPrior."),
}
MEASURES = {
    "mse": Term(
        "Mean squared error of reconstructions of test images, grey levels from 0 to 1.",
        "per pixel",
    ),
    "psnr": Term(
        "Peak signal-to-noise ratio of reconstructions: the mean squared error in decibels.", "dB"
    ),
    "bce": Term("Cross-entropy of the reconstruction's pixels.", NATS),
    "kfid": Term(
        "Fréchet distance between features of samples and of test images. The features are of"
        " a small classifier trained on this data set: it ranks models within one run, and is"
        " not the FID of papers.",
        SQUARED,
    ),
    "kkid": Term(
        "Kernel distance between features of samples and of test images, as in kfid; unbiased, 0 "
        "for real images, at times below. Not the KID of papers.",
        "kernel distance of features",
    ),
    "kfid_reconstructions": Term("kFID of reconstructed test images.", SQUARED),
    "kfid_midpoints": Term("kFID of images half-way between two codes.", SQUARED),
    "precision": Term(
        "Samples that lie nearer to a real image than its third-nearest real neighbour, in "
        "features.",
        SHARE,
    ),
    "recall": Term("Real images that lie as near to a sample.", SHARE),
    "density": Term(
        "Like precision, but counting in how many real neighbourhoods a sample lies; about 1 "
        "for real images.",
        "of 1, may be more",
    ),
    "coverage": Term("Real images whose five nearest neighbours' ball holds a sample.", SHARE),
    "memorisation": Term(
        "Median distance of a sample to the nearest training image, of test images 1: 0 for "
        "copies, more than 1 for what is unlike any image.",
        "of test images' distance",
    ),
    "total_variation": Term(
        "How unevenly the samples fall on the classes: 0 evenly, near 1 all on one.", SHARE
    ),
    "entropy": Term(
        "How unsure the classifier is of a sample; low for clear pictures.", "nats a sample"
    ),
    "mmd": Term(
        "Maximum mean discrepancy (squared) between codes and N(0, I); 0 where they are alike.",
        "squared MMD",
    ),
    "mmd_rescaled": Term(
        "Maximum mean discrepancy (squared) of codes that were rescaled to mean 0 and "
        "covariance I.",
        "squared MMD",
    ),
    "mmd_normal": Term(
        "Maximum mean discrepancy (squared) of draws of N(0, I) itself: what no code can beat.",
        "squared MMD",
    ),
    "frechet_to_normal": Term(
        "Squared distance of a Gaussian fitted to the codes from N(0, I).",
        "squared units of the code",
    ),
    "probe": Term(
        "A linear probe: accuracy on test images of a logistic regression on codes; behind "
        "the stroke how many labels it was given.",
        "accuracy, 0 to 1",
    ),
    "knn": Term(
        "Accuracy on test images of the five nearest neighbours among codes; behind the "
        "stroke how many labels they had.",
        "accuracy, 0 to 1",
    ),
    "roughness": Term(
        "Length of the path from one image to another along a straight line of codes, over "
        "the distance of its ends, in features; 1 is straight.",
        "ratio from 1",
    ),
    "active_units": Term("Numbers of the code that vary with the image.", "units"),
    "decoder_std": Term("The decoder's learned standard deviation of a pixel.", "grey level"),
    "nll": Term(
        "Bound on the negative log-likelihood of a test image from k importance samples; it "
        "falls towards the truth with k.",
        NATS,
    ),
    "rate": Term(
        "What a code says of its image: KL divergence of the posterior from the prior.", NATS
    ),
    "distortion": Term("What is lost: negative log-likelihood of an image given its code.", NATS),
    "elbo": Term("Evidence lower bound: minus rate, minus distortion.", NATS),
    "ess": Term("Effective sample size: how many of the importance samples count.", "draws"),
    "unreliable": Term(
        "Images whose bound rests on few draws (Pareto k-hat too large).", "share of images"
    ),
    "collapsed": Term(
        "Units that ignore the image: KL divergence below eps on 99% of the images.",
        "share of units",
    ),
    "mutual_information": Term("What codes say of which image it was.", NATS),
    "mutual_information_cap": Term(
        "The most that mutual_information can be: the logarithm of the number of images.", NATS
    ),
    "kl_to_prior": Term("How far all codes together are from the prior.", NATS),
}
WORDS = {
    "VAE": Term(
        "Variational autoencoder: it encodes an image as a cloud of codes, kept near N(0, I) "
        "so that one can sample from it."
    ),
    "autoencoder": Term(
        "Encodes an image as a point and decodes it again; nothing shapes its codes."
    ),
    "latent": Term("A code, or one of its numbers."),
}

ABOUT = About(
    config=Config,
    question="Can one sample from the latent space of a VAE and not from an autoencoder's, and is "
    "the price a worse reconstruction?",
    asserts={
        "V1": "the autoencoder reconstructs better than the VAE",
        "V2": "as they come out, the VAE's samples from N(0, I) are nearer to real images than the "
        "autoencoder's",
        "V2b": "the VAE's samples stay nearer once the autoencoder's codes are rescaled to mean 0 "
        "and covariance I",
        "V4": "the VAE's interpolations are straighter",
        "V6": "with ten Gaussians fitted to the codes, the autoencoder's samples are nearer",
        "V6b": "with a flow trained on the codes, the autoencoder's samples are nearer",
    },
    beside={
        "reconstructions": ("V1", "V5a"),
        "samples": ("V2", "V2b", "V6"),
        "latent_scatter": ("V3", "V5b"),
        "interpolations": ("V4",),
    },
    terms=ROWS | SAMPLERS | MEASURES | WORDS,
    ledger=Path(__file__).with_name("ledger.json"),
)
