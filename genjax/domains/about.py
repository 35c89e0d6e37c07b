"""What the page of a run over domains says of itself: the question, the words. No jax."""

from pathlib import Path

from genjax.domains.config import Config
from genjax.report.about import About, Term

BITS, SHARE = "bits a token, or a byte of text", "share, 0 to 1"
ROWS = {
    "unigram": Term("A floor: how often each token occurs in the training text."),
    "cache": Term("A floor: the unigram, mixed with the tokens of the document so far."),
    "cache_bigram": Term(
        "A floor: which token followed which in the document so far, over the cache. It knows"
        " nothing of any training domain."
    ),
    "memory": Term(
        "The best that perfect memory of the training domains could do; computed, no net."
    ),
    "family": Term(
        "The best of a reader who knows how domains are made, and infers from the context "
        "which one it reads: perfect composition; computed, no net."
    ),
    "known": Term(
        "The best of a reader who is told the domain: the entropy of the text; computed."
    ),
}
MEASURES = {
    "seen": Term("Loss on new test text of the domains trained on.", BITS),
    "unseen": Term("Loss on test text of domains that were never trained on.", BITS),
    "worst_seen": Term("Loss on the domain, of those trained on, where it is greatest.", BITS),
    "worst_unseen": Term(
        "Loss on the domain, of those never trained on, where it is greatest.", BITS
    ),
    "excess_seen": Term("Loss on seen domains above the text's entropy, `known`.", BITS),
    "excess_unseen": Term("Loss on unseen domains above the text's entropy, `known`.", BITS),
    "forecast_excess_seen": Term(
        "What smaller budgets forecast of excess_seen, before the run.", BITS
    ),
    "forecast_excess_unseen": Term(
        "What smaller budgets forecast of excess_unseen, before the run.", BITS
    ),
    "ece_seen": Term(
        "Expected calibration error of the likeliest token: how far stated and actual "
        "probabilities differ.",
        SHARE,
    ),
    "ece_unseen": Term("Expected calibration error of the likeliest token, unseen domains.", SHARE),
    "ood_id_ratio": Term("Loss on unseen domains over loss on seen ones.", "ratio"),
    "score": Term(
        "Composition: 0 is the best floor on the same documents, 1 is `family`.",
        "0 to 1, may be negative",
    ),
    "valid": Term("Loss on the training domains' validation text.", BITS),
    "few_shot_gain": Term(
        "By how much examples of an unseen domain in the context lower the loss on the next one.",
        BITS,
    ),
    "few_shot_strange": Term(
        "By how much examples of another unseen domain in the context lower the loss.", BITS
    ),
    "few_shot_area": Term(
        "Mean loss on an example behind others, over the logarithm of how many.", BITS
    ),
    "gap": Term("Loss on a domain when it was left out, above that when it was trained on.", BITS),
    "worst_gap": Term(
        "Greatest loss of a domain by being left out, above that of training on it.", BITS
    ),
    "specialist_gap": Term(
        "Loss on a domain that was left out, above that of a model of it alone.", BITS
    ),
    "stopped_at": Term(
        "The step at which the training domains' validation text was lowest.", "steps"
    ),
    "stopped_unseen": Term("Loss on unseen domains at the step `stopped_at`.", BITS),
    "stopped_new": Term("Loss on the new domain at the step `stopped_at`.", BITS),
    "stopped_old": Term("Loss on the old domains at the step `stopped_at`.", BITS),
    "stopped_score": Term("Score at the step `stopped_at`.", "0 to 1, may be negative"),
    "training_margin": Term(
        "By how much the first windows of training are likelier under a domain that is trained on"
        " than under an unseen one, the least of them: below 0 where unseen text leaks in.",
        BITS,
    ),
    "unigram_unseen": Term(
        "Loss on unseen domains of a unigram of the arm's training domains.", BITS
    ),
    "new": Term("Loss on the domain adapted to.", BITS),
    "old": Term("Loss on the domains of before.", BITS),
    "gain": Term("By how much adapting lowered the loss on the new domain.", BITS),
    "forgetting": Term("By how much adapting raised the loss on the old domains.", BITS),
    "drift": Term("How far predictions moved on old text: cross-entropy to those of before.", BITS),
    "overlap": Term("Runs of five words of the new text that the training text holds.", SHARE),
    "dynamic_seen": Term(
        "Loss when the model goes on learning while it reads, seen domains.", BITS
    ),
    "dynamic_unseen": Term(
        "Loss when the model goes on learning while it reads, unseen domains.", BITS
    ),
    "dynamic_rate": Term(
        "The learning rate of a model that goes on learning while it reads.", "rate"
    ),
    "sequence_final": Term("After several adaptations: minus the mean loss.", BITS),
    "sequence_backward": Term(
        "What later adaptations gave to earlier domains; negative: forgot.", BITS
    ),
    "sequence_forward": Term("What earlier adaptations gave to later domains.", BITS),
}
WORDS = {
    "domain": Term(
        "Text of one kind. On the grid: a pair of a structure (which states follow which) and"
        " a lexicon (which words a state says)."
    ),
    "bits a byte": Term("Loss of text in bits, over its bytes: comparable between tokenizers."),
    "compose": Term(
        "To do well on a pair of a structure and a lexicon that were each seen, never together."
    ),
    "replay": Term("Old text mixed into finetuning, against forgetting."),
    "LoRA": Term(
        "Finetuning of small added matrices in place of all weights; the rank is their size."
    ),
    "hypervolume": Term("How much of the plane of learning and forgetting lies behind a front."),
}

ABOUT = About(
    config=Config,
    question="How far does a language model carry to domains that it never saw, and what does "
    "adapting to one cost the others?",
    asserts={
        "D1a": "more training domains at one budget carry further",
        "D1b": "a model of few training domains does not compose",
        "D1c": "a model of many training domains composes",
        "D2a": "attention carries further than an LSTM",
        "D5a": "finetuning on little text costs the old domains more than a bit a token",
        "D6": "examples in the context help on an unseen domain",
        "D7b": "LoRA of rank 2 forgets less",
        "D8b": "5% of replay forgets less, each at its better rate",
        "D9a": "5% of replay reaches more of the plane of learning and forgetting",
    },
    beside={
        "diversity": ("D1a", "D1b", "D1c"),
        "curves": ("D5b", "D5a"),
        "few_shot": ("D6",),
        "front": ("D8b", "D8a", "D9a", "D7b"),
        "overlap": ("D4",),
        "ladder": ("D2a",),
    },
    terms=ROWS | MEASURES | WORDS,
    ledger=Path(__file__).with_name("ledger.json"),
)
