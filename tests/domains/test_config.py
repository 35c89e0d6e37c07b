"""What experiments/domains.py refuses, in one line, and when."""

import numpy as np
import pytest
import scripts
from texts import letters, write_corpus

from genjax.core.errors import UsageError
from genjax.domains import experiment
from genjax.domains.config import Config

CORPUS = "--corpus={folder}"
BAD = {
    "unknown parent": (["--arm=a:from=b"], ["--from=b", "neither an arm"]),
    "misspelt parent": (
        ["--arm=base", "--arm=a:from=bse"],
        ["--from=bse", "did you mean base?"],
    ),
    "misspelt mixture": (["--mixture=unifrm"], ["--mixture=unifrm", "did you mean uniform?"]),
    "byte pairs of the grid": (["--arm=a", "--bpe=1024"], ["--bpe=1024", "--corpus"]),
    "later parent": (["--arm=a:from=b", "--arm=b"], ["--from=b"]),
    "unknown domain": (["--arm=a:domains=s9l9"], ["--domains=s9l9", "s0l0"]),
    "named twice": (["--arm=a:domains=s0l0+s0l0"], ["--domains=s0l0+s0l0", "twice"]),
    "weights": (["--arm=a:domains=s0l1+s0l2,mixture=0.5+0.6"], ["--mixture=0.5+0.6", "sum to 1"]),
    "negative": (["--arm=a:domains=s0l1+s0l2,mixture=-0.5+1.5"], ["--mixture=-0.5+1.5"]),
    "dro of nothing": (["--arm=a:dro=b"], ["--dro=b", "no arm before it"]),
    "dro of another shape": (["--arm=a", "--arm=b:dro=a,width=32"], ["--width=32", "--dro=a"]),
    "dro of other domains": (
        ["--arm=a:domains=s0l1", "--arm=b:dro=a"],
        ["--dro=a", "other domains"],
    ),
    "doremi of nobody": (["--arm=a:mixture=doremi"], ["--mixture=doremi", "--dro"]),
    "one shot": (["--shots=4"], ["--shots=4", "two or more"]),
    "dro of a mixture": (
        ["--arm=a", "--arm=b:dro=a,mixture=proportional"],
        ["--dro=a", "--mixture"],
    ),
    "mixture of no proxy": (
        ["--arm=a", "--arm=b:mixture=doremi:a"],
        ["--mixture=doremi:a", "--dro"],
    ),
    "replay of itself": (
        ["--arm=a", "--arm=b:from=a,replay=0.5"],
        ["--replay=0.5", "besides those that train now"],
    ),
    "ewc of another run": (
        ["--arm=a:from={folder},ewc=1"],
        ["--ewc=1.0", "besides those that train now"],
    ),
    "average of nothing": (["--arm=a:average=0.5"], ["--average=0.5", "--from"]),
    "ngram of a mixture": (
        ["--arm=a:model=ngram,mixture=proportional"],
        ["--mixture=proportional", "n-gram"],
    ),
    "a grid that fits nowhere": (
        ["--chains=900", "--vocabulary=65536"],
        ["--chains=900, --vocabulary=65536 or --seeds=3: about", "GB"],
    ),
    "documents that fit nowhere": (["--pool=100000000", "--vocabulary=60000"], ["--pool", "GB"]),
    "a net that fits nowhere": (["--width=65536", "--depth=8"], ["--width", "--seeds", "GB"]),
    "a name too long": (["--arm=a:from=" + "x" * 300], ["--from=xxx", "neither an arm"]),
    "a row of the table": (["--arm=cache"], ["--arm=cache", "is taken"]),
    "dots": (["--arm=.."], ["--arm=..", "a name"]),
    "measured": ([CORPUS + "/good", "--measured_bytes=9"], ["--measured_bytes=9"]),
    "stride": ([CORPUS + "/good", "--context=64"], ["--stride=128", "64"]),
    "a shot too few": (["--shots=0,1,"], ["--shots=0,1,", "whole number"]),
    "replay of nothing": (["--arm=a:replay=0.5"], ["--replay=0.5", "--from"]),
    "lora of nothing": (["--arm=a:train=lora"], ["--train=lora", "--from"]),
    "other shape": (["--arm=a", "--arm=b:from=a,width=32"], ["--width=32", "--from=a has 64"]),
    "no option": (["--arm=a:rank=3"], ["--arm=a:rank=3", "no option", "of an arm"]),
    "not causal": (["--arm=a:attention=linformer"], ["--attention=linformer", "not causal"]),
    "no attention": (["--arm=a:attention=flsh"], ["--attention=flsh", "flash"]),
    "heads": (["--arm=a:heads=3"], ["--heads=3"]),
    "shots": (["--shots=0,99"], ["--shots=99", "at most 15"]),
    "shots in words": (["--shots=few"], ["--shots=few"]),
    "rates": (["--dynamic=0.1,-1"], ["--dynamic=0.1,-1"]),
    "states": (["--states=4"], ["--states=4", "at least 8"]),
    "ngram tuned": (["--arm=a", "--arm=b:from=a,model=ngram"], ["n-gram"]),
    "order of no n-gram": (
        ["--arm=a:ngram_order=3"],
        ["--arm=a: --ngram_order=3", "--model=ngram"],
    ),
    "rank of no LoRA": (["--lora_rank=3"], ["--lora_rank=3", "--train=lora"]),
    "window of none": (["--window=8"], ["--window=8", "--attention=longformer, truncated"]),
    "rate of a count": (["--model=ngram", "--learning_rate=1"], ["--learning_rate=1", "gru, ssm"]),
    "windows of a text": (["--stride=64"], ["--stride=64", "--corpus=<folder>"]),
    "no folder": (["--corpus={folder}/none"], ["--corpus", "none"]),
    "no splits": ([CORPUS], ["torn", "valid.txt"]),
    "held out": (["--corpus={folder}/good", "--held_out=greek"], ["--held_out=greek", "one"]),
    "held out of the grid": (["--held_out=brown"], ["--held_out=brown", "--corpus=<folder>"]),
    "context": (["--corpus={folder}/good", "--context=4096", "--shots="], ["--context=4096"]),
    "misspelt domain": (
        ["--corpus={folder}/good", "--arm=a", "--arm=b:domains=on"],
        ["--arm=b: --domains=on", "did you mean one?"],
    ),
    "weights of a text": (
        ["--corpus={folder}/good", "--mixture=1+0+0"],
        ["--mixture=1+0+0: 3 weights for 2 domains"],
    ),
    "leak": (["--corpus={folder}/leaky", "--held_out=two"], ["two", "one"]),
    "leak into what is held out": (["--corpus={folder}/own", "--held_out=two"], ["two", "100.0%"]),
}


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """Folders of texts: good, leaky (from one domain to another, or within one), torn."""
    folder = tmp_path_factory.mktemp("bad")
    rng = np.random.default_rng(0)
    for corpus in ("good", "leaky", "own"):
        write_corpus(folder / corpus, {name: letters(rng) for name in ("one", "two")})
    (folder / "leaky" / "two" / "test.txt").write_bytes(
        (folder / "leaky" / "one" / "train.txt").read_bytes()[:900]
    )
    own = folder / "own" / "two"
    (own / "test.txt").write_bytes((own / "train.txt").read_bytes()[:900])
    (folder / "torn").mkdir()
    (folder / "torn" / "train.txt").write_text("a text without its splits")
    return folder


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gets_one_line(end, name, texts):
    given, parts = BAD[name]
    scripts.assert_refused(end("domains", *given, folder=texts), parts)


EARLY = ("unknown parent", "misspelt parent", "misspelt mixture", "unknown domain", "weights")
EARLY += ("misspelt domain", "weights of a text", "held out", "no splits", "replay of itself")
EARLY += ("dro of other domains", "states")


@pytest.mark.parametrize("name", EARLY)
def test_names_are_refused_before_what_is_slow_is_imported(end, monkeypatch, name, texts):
    monkeypatch.setattr("genjax_cli.launch._run", lambda *_: pytest.fail("imports jax"))
    scripts.assert_refused(end("domains", *BAD[name][0], folder=texts), BAD[name][1])


@pytest.mark.parametrize("options", [{"from_": "nowhere"}, {"corpus": "good", "domains": "on"}])
def test_from_python_too(options, texts, monkeypatch):
    monkeypatch.chdir(texts)
    with pytest.raises(UsageError, match="--from=nowhere: neither|--domains=on: no domain on; did"):
        experiment.prepare(Config(**options))
