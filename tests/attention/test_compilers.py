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
from genjax.scaling import chips

LENGTH = 512
TPU = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5e-8",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}
H100 = """gpu_device_info {
  threads_per_block_limit: 1024 threads_per_warp: 32 shared_memory_per_block: 49152
  shared_memory_per_core: 233472 threads_per_core_limit: 2048 core_count: 132 fpus_per_core: 128
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  memory_bandwidth: 3352320000000 l2_cache_size: 52428800 clock_rate_ghz: 1.98
  device_memory_size: 84978434048 shared_memory_per_block_optin: 232448
  cuda_compute_capability { major: 9 minor: 0 }
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
}
platform_name: "CUDA" dnn_version_info { major: 9 minor: 8 patch: 0 }
runtime_version { major: 12 minor: 9 patch: 0 } device_description_str: "NVIDIA H100 80GB HBM3"
"""


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
    given = os.environ | TPU | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(path)}
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
    assert found["ring"]["collectives"] == {"collective-permute": [126, 126 * 2 * 64 * 8 * 64]}
    assert found["ring"]["temp_bytes"] < 2**23


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
    from jax.experimental import topologies

    devices = topologies.get_topology_desc("v5e:8x8", platform="tpu").devices
    one = _compiled(fused.splash(True), devices[0], mask=True)
    return {
        "kernels": one.as_text().count("tpu_custom_call"),
        "splash_temporaries": one.memory_analysis().temp_size_in_bytes,
        "ring": chips.row("flash", "forward", devices, (1, 64 * 64, 8, 64)),
    }


def _cuda():
    import re

    from jax.experimental import topologies

    given = {"platform": "cuda", "target_config": H100, "topology": "1x1x1"}
    device = topologies.get_topology_desc(**given).devices[0]
    text = _compiled(fused.cudnn(True, fused.splash(True)), device, mask=False).as_text()
    return {"kernels": re.findall(r'custom_call_target="__cudnn.(\w+)"', text)}


if __name__ == "__main__":
    print(json.dumps({"tpu": _tpu, "cuda": _cuda}[sys.argv[1]]()))
