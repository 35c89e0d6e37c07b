"""The smoke runs as the commit of each file made them: final parameters, figures, claims, rows.

    python tests/golden.py --make --code=<a checkout>   # all files, or --only=gan
    python tests/golden.py --compare=<run folder> --only=gan [--elsewhere]

`--make` runs each smoke flagfile with that code, in the environment of the suite's whole scripts,
and writes tests/golden/<experiment>.json. The first were of fb89af8, the last commit before modules
moved into rooms. Remake a file where numbers change on purpose (another initialization or order of
operations, a mended measure, other smoke flags, another way to compile), or where CI has another
processor or constraints.txt other versions, with the code that is right then; CHANGELOG.md says
which numbers changed, and why. A new name of a flag or a file is no reason.

Processors and versions round differently. On those of the file a run is compared to the last bit:
SHA-256 of every parameter and of the optimizer's state, figures, claims and rows. Elsewhere
(`--elsewhere`: as if) numbers may differ as LOOSER says.
"""

import argparse
import hashlib
import json
import math
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import scripts

PLACE = Path(__file__).parent / "golden"
EXPERIMENTS = ("vae", "gan", "attention", "domains")
# Libraries that compute; the others read and write.
LIBRARIES = ("jax", "jaxlib", "flax", "optax", "numpy", "scipy", "scikit-learn")
# What follows from a clock.
TIMED = re.compile("time_exponent|of_matmul|below_full|seconds|/peak/|overtakes")


def digest(*arrays) -> str:
    """The first 16 hexadecimal digits of SHA-256 of dtypes, shapes and bytes."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
    return found.hexdigest()[:16]


def read(folder: Path) -> dict:
    """What is compared of a run folder, of this code or of fb89af8."""
    summary = json.loads((folder / "summary.json").read_text())
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {
        "commit": summary["commit"],
        "xla_flags": _environment(summary["experiment"])["XLA_FLAGS"],
        "place": _place(summary),
        "arms": {path.name: _arm(path) for path in sorted((folder / "checkpoints").iterdir())},
        "metrics": {
            name: [row["mean"], row["low"], row["high"], row["per_seed"]]
            for name, row in summary["metrics"].items()
            if not TIMED.search(name)
        },
        "claims": {made["id"]: _claim(made) for made in summary["claims"]},
        "rows": _rows([row for row in rows if "seed" in row]),
        "cases": _cases([row for row in rows if "seed" not in row]),
    }


def _environment(name):
    return scripts.environment(compiling=scripts.compiling(name))


def _place(summary):
    """What the last bit depends on besides the code."""
    cpu = {"machine": platform.machine(), "cores": summary["device"]["cores"]}
    path = Path("/proc/cpuinfo")
    for line in path.read_text().splitlines() if path.exists() else ():
        name, _, value = (part.strip() for part in line.partition(":"))
        if name in ("vendor_id", "cpu family", "model", "model name", "stepping"):
            cpu[name] = value
        elif name == "flags":
            cpu["vectors"] = " ".join(sorted(re.findall(r"\b(?:avx|fma|f16c|amx)\w*", value)))
    return {"cpu": cpu, "versions": {name: summary["versions"][name] for name in LIBRARIES}}


def _arm(path):
    """The last checkpoint: every parameter, and a digest of all else, which is the optimizer's."""
    step = max(int(p.name) for p in path.iterdir() if p.name.isdigit())
    leaves = scripts.checkpoint(path.parent.parent, path.name, step)
    params = {name: leaf for name, leaf in leaves.items() if name.startswith("['params']")}
    return {
        "step": step,
        "rest": digest(*(leaf for name, leaf in sorted(leaves.items()) if name not in params)),
        "params": {name.removeprefix("['params']"): _leaf(leaf) for name, leaf in params.items()},
    }


def _leaf(leaf):
    """[digest, shape, mean, standard deviation, root of the mean square, four entries]."""
    values = leaf.astype(np.float64).ravel()
    some = values[np.linspace(0, values.size - 1, 4).astype(int)]
    numbers = [values.mean(), values.std(), np.sqrt(np.mean(values**2)), *some]
    return [digest(leaf), list(leaf.shape), *(float(f"{number:.7g}") for number in numbers)]


def _claim(made):
    """Without its words; of a claim about times the verdict and the threshold alone."""
    left_out = {"statement", "interval", "parts"}
    if made.get("replicate") == "process":
        return {name: made[name] for name in ("seal", "threshold", "verdict")}
    kept = {name: value for name, value in made.items() if name not in left_out}
    return kept | {part["id"]: _claim(part) for part in made.get("parts", [])}


def _rows(rows):
    """{arm: {measure: {step: by seed}}}: the first two steps of each, one between, and the last."""
    found = {}
    for row in sorted(rows, key=lambda row: (row["step"], row["seed"])):
        for name in row.keys() - {"arm", "seed", "step"}:
            steps = found.setdefault(row["arm"], {}).setdefault(name, {})
            steps.setdefault(str(row["step"]), []).append(row[name])
    return {
        arm: {name: _some(steps) for name, steps in sorted(measures.items())}
        for arm, measures in sorted(found.items())
    }


def _some(steps):
    kept = list(steps)
    return {step: steps[step] for step in [*kept[:2], kept[len(kept) // 2], kept[-1]]}


def _cases(rows):
    """{timed case: what it counts, and how often it was timed}; XLA's count is the compiler's."""
    cases = {}
    for row in rows:
        case = cases.setdefault(f"{row['arm']} {row['mode']} {row['length']}", {"rounds": 0})
        case["rounds"] += "round" in row
        counted = ("flops", "count_bytes", "note", "temp_bytes")
        case |= {name: row[name] for name in counted if name in row}
    return {name: cases[name] for name in sorted(cases)}


# Elsewhere: the first pattern that a number's path matches gives (relative, absolute) tolerance, or
# None where it is not compared. A parameter's absolute one is in root mean squares of its array.
# Two orders above what was measured with LLVM's usual level, vectors of AVX2 in the place of
# AVX-512 and the lowest versions of pyproject.toml: 1e-6, but for what the comments name.
SHARES = "accuracy|probe|knn|precision|recall|density|coverage|memorisation|total_variation|quality"
LOOSER = [
    (r"^arms/.*/(rest|0)$", None),  # Digests.
    # What follows from the values of each seed.
    (r"^metrics/.*/[12]$|^claims/.*/(low|high|p|p_holm)$", None),
    # Compiled programs.
    (r"^cases/.*/temp_bytes$|memory_exponent|^claims/A\d+[fb]m/", None),
    # Cells of k-means, and counts of near pairs.
    (r"/(ndb|js|birthday_support)/", None),
    # A relativistic loss knows differences of scores alone. The gradient of the discriminator's
    # last bias is rounding, which Adam makes as large as any: after 60 steps other arrays differ by
    # up to 7% and measures by up to 3%.
    (
        r"^rows/rpgan_r1r2/(real|fake)_score/|^arms/rpgan_r1r2/params/\['discriminator'\].*bias",
        None,
    ),
    (r"^rows/rpgan_r1r2/.*/(5|10)/", (1e-4, 1e-5)),
    (r"^(arms|rows|metrics)/rpgan_r1r2(@\w+)?/", (1e-1, 1e-1)),
    (r"^claims/G", (1e-3, 1e-1)),
    (r"^arms/", (1e-4, 1e-4)),
    (rf"^(rows|metrics)/.*({SHARES})", (0.0, 1e-2)),  # Of 200 or more.
    (r"^(rows|metrics|claims)/", (1e-4, 1e-4)),
]
SECTIONS = ("arms", "metrics", "claims", "rows", "cases")


def differences(golden: dict, found: dict, *, elsewhere: bool) -> list[str]:
    """Lines: what is gone or differs, to the last bit or by more than LOOSER allows."""
    said = []
    left, right = ({k: tree[k] for k in SECTIONS} for tree in (golden, found))
    left, right = dict(_leaves(left)), dict(_leaves(right))
    for path, value in left.items():
        allowed = allowed_at(path, left) if elsewhere else (0.0, 0.0)
        if path not in right:
            said.append(f"{path} is gone")
        elif allowed and not _alike(value, right[path], *allowed):
            said.append(f"{path}: {value} became {right[path]}")
    # Measures and claims may be added, parameters and timed cases not.
    new = (path for path in right if path not in left)
    return said + [f"{path} is new" for path in new if path.startswith(("arms/", "cases/"))]


def _leaves(tree, path=""):
    if not isinstance(tree, dict | list):
        yield path, tree
        return
    for name, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield from _leaves(value, f"{path}/{name}" if path else name)


def allowed_at(path: str, golden: dict) -> tuple[float, float] | None:
    """LOOSER's tolerance of a number; golden: all of its file by path."""
    for pattern, allowed in LOOSER:
        if re.search(pattern, path):
            if allowed and "/params/" in path and not path.rpartition("/")[0].endswith("/1"):
                return allowed[0], allowed[1] * golden[f"{path.rpartition('/')[0]}/4"]
            return allowed
    return 0.0, 0.0


def _alike(golden, found, relative, absolute):
    if isinstance(golden, int | float) and isinstance(found, int | float):
        if math.isfinite(golden):
            return abs(found - golden) <= absolute + relative * abs(golden)
        return golden == found or math.isnan(golden) and math.isnan(found)
    return golden == found


def check(name: str, folder: Path, *, elsewhere: bool = False) -> None:
    """Raises AssertionError where a run folder of a smoke flagfile is not that of its file."""
    golden = json.loads((PLACE / f"{name}.json").read_text())
    found = json.loads(json.dumps(read(folder)))
    here = golden["place"] == found["place"]
    compiled = golden["xla_flags"] == found["xla_flags"]
    # Other versions may not know a flag.
    assert compiled or not here or elsewhere, "tests compile otherwise: remake all files"
    elsewhere = elsewhere or not here
    said = differences(golden, found, elsewhere=elsewhere)
    how = "within tolerance" if elsewhere else "to the last bit"
    head = (
        f"{len(said)} differences from golden/{name}.json, {how}; tests/golden.py says what to do"
    )
    assert not said, "\n".join([head, *said[:20]])


def make(name: str, code: Path) -> None:
    """Writes the file of an experiment's smoke run by the code of a checkout."""
    with tempfile.TemporaryDirectory() as folder:
        script, flags = f"experiments/{name}.py", f"experiments/flags/{name}_smoke.flags"
        command = [sys.executable, script, f"--flagfile={flags}", f"--workdir={folder}/run"]
        subprocess.run(
            [*command, f"--compile_cache={folder}/cache"],
            env=_environment(name) | {"PYTHONPATH": str(code)},
            cwd=code,
            check=True,
        )
        content = read(Path(folder) / "run")
    PLACE.mkdir(exist_ok=True)
    (PLACE / f"{name}.json").write_text(_text(content) + "\n")


def _text(tree, depth=0):
    """JSON, a line for each item of the first levels."""
    if not isinstance(tree, dict) or depth == 4 or not tree:
        return json.dumps(tree)
    inside = (f"{json.dumps(name)}: {_text(value, depth + 1)}" for name, value in tree.items())
    return "{\n" + ",\n".join(inside) + "\n}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=EXPERIMENTS, help="one experiment; all without it")
    parser.add_argument("--make", action="store_true", help="write the files")
    parser.add_argument("--code", type=Path, default=scripts.ROOT, help="the checkout that runs")
    parser.add_argument("--compare", type=Path, help="a run folder of --only's smoke flagfile")
    parser.add_argument("--elsewhere", action="store_true", help="as on another processor")
    asked = parser.parse_args()
    if asked.make == bool(asked.compare) or (asked.compare and not asked.only):
        parser.error("--make, or --compare=<run folder> with --only=<experiment>")
    if asked.compare:
        check(asked.only, asked.compare, elsewhere=asked.elsewhere)
    for name in [asked.only] if asked.only else EXPERIMENTS:
        if asked.make:
            make(name, asked.code.absolute())


if __name__ == "__main__":
    main()
