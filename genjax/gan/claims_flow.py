"""Claim G8, in five sentences: what flow matching, a method without a game, reaches."""

from genjax.claims.sealed import again
from genjax.gan.judged import (
    AGAIN,
    ALIKE,
    LEARNED,
    LOST,
    NOISE,
    SAMPLES,
    TRUTH,
    Judged,
    claim,
    holds_every_mode,
)

BEFORE = "the flow before training"
EQUAL = "At as many parameters and no more training FLOPs than the GAN's"

JUDGED = (
    holds_every_mode(
        "G8a",
        "flow matching, a method without a game,",
        "f",
        family="flow",
        negative={NOISE: "noise", BEFORE: "f@untrained"},
    ),
    Judged(
        claim(
            "G8b",
            "On {data}, after {steps} steps, flow matching gives the modes their shares, to 0.02 "
            "nats",
            "KL({f}) - KL(truth), of samples at a mode",
            unit="nats",
            direction="less",
            threshold=0.02,
            margin=0.005,
            why="shares that differ by a tenth of themselves",
            family="flow",
            negative=(NOISE, LOST),
            positive=(TRUTH,),
        ),
        lambda f: f.uneven("f"),
        lambda f: [f.uneven("noise"), f.uneven("lost")],
        lambda f: [f.uneven("truth")],
        {"f": ("modes",)},
    ),
    Judged(
        claim(
            "G8c",
            f"{EQUAL}, flow matching covers {{data}} better after {{steps}} steps, samples "
            "between the modes counted against it",
            "mode TV({f}) - mode TV({v})",
            unit=SAMPLES,
            direction="less",
            margin=0.02,
            why="one sample in fifty",
            family="flow",
            negative=(AGAIN, BEFORE),
            positive=(TRUTH, LEARNED),
            version=3,
            date="2026-11-24",
        ),
        lambda f: f.of("f", "mode_tv") - f.of("v", "mode_tv"),
        lambda f: [
            -again(f.of("v", "mode_tv")),
            f.of("f@untrained", "mode_tv") - f.of("v", "mode_tv"),
        ],
        lambda f: [f.of("truth", "mode_tv") - f.of("v", "mode_tv"), f.unlearned("v") - ALIKE],
        {"f": ("mode_tv",), "v": ("mode_tv", "precision"), "v@untrained": ("precision",)},
    ),
    Judged(
        claim(
            "G8d",
            f"{EQUAL}, more of flow matching's samples lie within three standard deviations of a "
            "mode of {data} after {steps} steps",
            "high quality({f}) - high quality({v})",
            unit=SAMPLES,
            direction="greater",
            margin=0.02,
            why="one sample in fifty",
            family="flow",
            negative=(AGAIN, BEFORE),
            positive=(TRUTH, LEARNED),
            version=3,
            date="2026-11-24",
        ),
        lambda f: f.of("f", "high_quality") - f.of("v", "high_quality"),
        lambda f: [
            -again(f.of("v", "high_quality")),
            f.of("f@untrained", "high_quality") - f.of("v", "high_quality"),
        ],
        lambda f: [f.lack("v", "high_quality"), ALIKE - f.unlearned("v")],
        {
            "f": ("high_quality",),
            "v": ("high_quality", "precision"),
            "v@untrained": ("precision",),
        },
    ),
    holds_every_mode(
        "G8e",
        "flow matching",
        "f@1",
        family="flow",
        negative={NOISE: "noise", f"{BEFORE}, likewise": "f@1@untrained"},
        how=", with a single step of its solver",
    ),
)
