"""The experiments' steps, compiled for TPUs and a GPU that are not there.

By libtpu and CUDA's plugin, where Python finds them (`.ci/run` has them in folders of their own,
see experiments/scale.py); else skipped. GENJAX_ACCELERATORS=all: every program on every chip.
"""

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import scripts

from genjax.benchmark import scale

# Two minutes of one core. program, chip, chips, slices.
TPU = [
    ("vae", "v5e", 1, 1),
    ("vae", "v5e", 64, 1),
    ("vae_batch", "v5e", 64, 1),  # On all chips, of which 16 have work; on 16 alone it is refused.
    ("vae_batch", "v5e", 8, 2),
    ("gan", "v5p", 8, 1),
    ("lm_small", "v5e", 8, 1),
]
GPU = [("attention", "h100", 1, 1), ("gan", "h100", 1, 1)]
if os.environ.get("GENJAX_ACCELERATORS") == "all":
    TPU = [(n, *at) for n in scale.CASES for at in scale.TOPOLOGIES if at[0] != "h100"]
    GPU = [(name, "h100", 1, 1) for name in scale.CASES]
CODE = """
import json, sys
from genjax.benchmark import scale
for case in json.loads(sys.argv[1]):
    print(json.dumps(scale.measure(*case)), flush=True)
"""

# A ring of eight chips, and of all, where 64 are there: what the compiler says, and what a run.
RINGS = """
import json, jax
from genjax.attention.sharded import spread
from genjax.benchmark import scale
from genjax.core.errors import UsageError
from genjax.scaling import cases, microbenchmark, variants
from genjax.scaling.config import Config
chips, found = scale.devices("v5e", 64), {}
jax.devices = jax.local_devices = lambda: chips
for count in (8, 64):
    mesh = jax.sharding.Mesh(chips[:count], ("sequence",))
    ring = cases.of_variant(
        spread("flash", mesh, 4096, 64, causal=False), "forward", (1, 4096, 2, 64), "bfloat16"
    )
    told = found[count] = []
    asked = Config(variants=("flash",), lengths=(2048, 4096), mesh=f"sequence:{count}")
    for refusal, tried in (
        (jax.errors.JaxRuntimeError, lambda: microbenchmark.lower(ring).compile()),
        (UsageError, lambda: variants.mesh(asked)),
    ):
        try:
            tried()
            told.append("")
        except refusal as error:
            told.append(str(error))
print(json.dumps(found))
"""


def compiled(cases, package):
    """{case: row of scale.measure}."""
    return dict(zip(cases, told(CODE, package, json.dumps(cases)), strict=True))


def told(code, package, *words):
    """The JSON that a process prints, line by line, which has none of the suite's XLA flags."""
    if find_spec(package) is None:
        pytest.skip(f"no {package}: nothing is compiled for its devices")
    env = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    env |= {"JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join([str(scripts.ROOT), *sys.path])}
    made = subprocess.run(
        [sys.executable, "-c", code, *words],
        env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr[-2000:]
    return [json.loads(line) for line in made.stdout.splitlines() if line.startswith("{")]


@pytest.fixture(scope="module")
def tpu():
    return compiled(TPU, "libtpu")


@pytest.fixture(scope="module")
def gpu():
    return compiled(GPU, "jax_cuda12_plugin")


def require_sound(row, temporaries):
    assert row["constants"] < 1e6
    assert row["calls_home"] == []
    assert row["temporaries"] < temporaries
    assert row["flops"] > 0
    case, kinds = scale.CASES[row["program"]], [one["kind"] for one in row["collectives"]]
    if "first" in row:
        require_parts(row)
        return
    # Seeds side by side need none. Of a batch that is shared, gradients and metrics are one sum;
    # two slices exchange parts of it, and gather them again within each.
    if case.seeds >= row["used"]:
        assert kinds == []
    else:
        assert kinds[:1] == ["all-reduce"]
        assert set(kinds[1:]) <= ({"all-gather"} if row["slices"] > 1 else set())
    for one in row["collectives"]:
        assert one["types"] == ["f32"]  # Not halved for the way.
        assert one["devices"] * row["slices"] == row["used"]
    gathered = sum(one["bytes"] for one in row["collectives"][1:])
    assert gathered <= sum(one["bytes"] for one in row["collectives"][:1])


def require_parts(row):
    """Parameters are gathered in half precision, gradients summed in float32; nobody has all."""
    types = {"all-gather": {"bf16"}, "reduce-scatter": {"f32"}, "all-reduce": {"f32", "s32"}}
    for one in row["collectives"]:
        assert {*one["types"]} <= types[one["kind"]]  # Whole numbers: the length of training.
        assert row["used"] % one["devices"] == 0
    assert row["first"] < 1.1 * row["arguments"] + 2e8
    assert row["arguments"] + row["temporaries"] < 0.8 * scale.CHIPS[row["chip"]].memory


@pytest.mark.parametrize("case", TPU, ids=str)
def test_a_step_on_tpus(tpu, case):
    row = tpu[case]
    require_sound(row, temporaries=0.8 * scale.CHIPS[case[1]].memory)
    assert row["cycles"] > 0


@pytest.mark.parametrize("case", GPU, ids=str)
def test_a_step_on_a_gpu(gpu, case):
    require_sound(gpu[case], temporaries=80e9)


def test_a_small_batch_is_no_slower_on_more_chips(tpu):
    one, many = tpu["vae", "v5e", 1, 1], tpu["vae", "v5e", 64, 1]
    assert many["cycles"] <= one["cycles"]
    # 784-400-20 by hand: products forward, for the weights, and for inputs but the images.
    weights = 784 * 400 + 400 * 40 + 20 * 400 + 400 * 784
    assert one["flops"] == many["flops"] == 2 * 128 * (3 * weights - 784 * 400)
    # All images as bytes, and no second copy of them: less than 80 MB in all.
    assert one["arguments"] + one["temporaries"] < 80e6


def test_gradients_of_a_language_model_are_summed_once_in_float32(tpu):
    row = tpu["lm_small", "v5e", 8, 1]
    weights = 12 * 2 * 128**2 + 4096 * 128 + 5 * 128
    (summed,) = row["collectives"]
    assert 4 * weights <= summed["bytes"] < 1.01 * 4 * weights


def test_a_ring_on_a_part_of_a_large_v5e_is_refused_before_its_compiler_does():
    """Should the compiler take it some day, this fails, and the refusal can go."""
    (found,) = told(RINGS, "libtpu")
    compiler, ours = found["8"]
    assert "device assignment should include all slice devices" in compiler
    assert ours.startswith("--mesh=sequence:8: of 64 v5e chips") and "\n" not in ours
    assert found["64"] == ["", ""]


def test_two_compilers_have_the_same_products(tpu, gpu):
    """Counted from their texts: a TPU's convolutions, of eight seeds a chip, and CUDA's, of all."""
    assert gpu["gan", "h100", 1, 1]["flops"] == 8 * tpu["gan", "v5p", 8, 1]["flops"]
