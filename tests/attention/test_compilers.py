"""What the compilers for TPU and CUDA say, where they are installed; no device need be there.

Each compiler has a process of its own: it is chosen before jax starts.
"""

import importlib.util
import json
import os
import subprocess
import sys

import pytest

from genjax.attention import fused
from genjax.attention.sharded import spread
from genjax.benchmark import scale
from genjax.core import hlo
from genjax.scaling import cases, microbenchmark

LENGTH = 512


def needs(*modules):
    def missing(name):
        try:
            return importlib.util.find_spec(name) is None
        except ModuleNotFoundError:
            return True

    absent = [name for name in modules if missing(name)]
    return pytest.mark.skipif(bool(absent), reason=f"not installed: {', '.join(absent)}")


def told(part: str) -> dict:
    """What this file says as a program, in a process of its own."""
    path = [os.environ.get("PYTHONPATH", ""), *sys.path]
    given = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(path)}
    done = subprocess.run(
        [sys.executable, __file__, part], env=given, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@needs("libtpu")
def test_tpu_compiles_splash_and_a_ring_of_64_chips():
    found = told("tpu")
    # Forward, and two kernels backward; all seeds in one, with a mask that they share.
    scores = 3 * 2 * 2 * 4 * LENGTH**2
    assert found["kernels"] == 3 and found["splash_temporaries"] < scores / 2
    # Keys and values of 8 heads of 64 in bfloat16 take 63 hops round, in parts of 64 positions.
    assert found["hops"] == [126, 126 * 2 * 64 * 8 * 64] and found["ring_temporaries"] < 2**23


@needs("jax_cuda12_plugin", "nvidia.cudnn")
def test_cuda_compiles_cudnn():
    assert told("cuda")["kernels"] == ["fmhaSoftmax", "fmhaSoftmaxBackward"]


def _compiled(attend, device, mask):
    """The compiled program of both passes, of three seeds, for one device."""
    import jax

    here = jax.sharding.SingleDeviceSharding(device)
    x = jax.ShapeDtypeStruct((3, 2, LENGTH, 2, 64), "bfloat16", sharding=here)
    seen = jax.ShapeDtypeStruct((2, LENGTH), bool, sharding=here) if mask else None

    def both(q, k, v, mask):
        out, pull = jax.vjp(lambda q, k, v: attend(q, k, v, mask=mask), q, k, v)
        return out, pull(out)

    over = (0, 0, 0, None)
    return jax.jit(jax.vmap(both, over)).lower(x, x, x, seen).compile()


def _tpu():
    from jax.sharding import Mesh

    devices, shape = scale.devices("v5e", 64), (1, 64 * 64, 8, 64)
    one = _compiled(fused.splash(True), devices[0], mask=True)
    ring = spread("flash", Mesh(devices, ("sequence",)), shape[1], shape[-1], causal=False)
    program = cases.of_variant(ring, "forward", shape, "bfloat16")
    spread_out = microbenchmark.lower(program).compile()
    hops = hlo.Program(spread_out.as_text()).collectives()
    assert {one.kind for one in hops} == {"collective-permute"}
    return {
        "kernels": one.as_text().count("tpu_custom_call"),
        "splash_temporaries": one.memory_analysis().temp_size_in_bytes,
        "hops": [sum(one.times for one in hops), sum(one.times * one.bytes for one in hops)],
        "ring_temporaries": spread_out.memory_analysis().temp_size_in_bytes,
    }


def _cuda():
    import re

    device = scale.devices("h100", 1)[0]
    text = _compiled(fused.cudnn(True, fused.splash(True)), device, mask=False).as_text()
    return {"kernels": re.findall(r'custom_call_target="__cudnn.(\w+)"', text)}


if __name__ == "__main__":
    print(json.dumps({"tpu": _tpu, "cuda": _cuda}[sys.argv[1]]()))
