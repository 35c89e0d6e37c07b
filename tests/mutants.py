"""Breaks the code that decides results in one place at a time, and says which breaks no test sees.

    pip install "cosmic-ray==8.7.0"
    python tests/mutants.py                                   # the sample of docs/notes/mutants.md
    python tests/mutants.py --only=core/loop --each=1000      # all mutants of one file
    python tests/mutants.py --again=build/mutants.jsonl       # the survivors of a run, once more

Mutants are cosmic-ray's (Bingham et al.): an operator, a number or a condition is another, a loop
has no turn, a decorator is gone. Places are drawn without replacement, then one mutant of each
place: otherwise most would be arithmetic operators and comparisons, which have six mutants a place
or more. Type annotations stay as they are. A mutant meets the tests that belong to its file, the
fast ones first. One process imports jax and forks for each. Linux and macOS.
"""

import argparse
import ast
import collections
import importlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).parent.parent
ATTENTION = [
    "scaling/test_experiment::test_a_run_holds_points_fits_quality_claims_and_pictures",
    "scaling/test_experiment::test_a_trained_transformer_answers_as_it_was_measured",
]
DOMAINS = [
    "domains/test_experiment::test_run_folder_holds_table_claims_and_pictures",
    "domains/test_experiment::test_an_adapted_arm_starts_from_what_its_parent_ended_with",
]
CHEAP = [
    f"core/test_parallel::test_{name}"
    for name in (
        "a_convolutions_batch_stays_whole_on_cpu", "short_calls_compile_nothing",
        "pmap_refuses_a_batch_that_does_not_divide",
        "what_is_measured_by_seed_is_each_seed_alone",
        "a_batch_is_the_rows_of_its_index_and_padding_weighs_nothing",
        "without_a_plan_steps_are_those_of_dense_nets",
        "rows_in_batches_of_one_shape_are_those_of_one_call",
        "of_several_devices_one_program_is_in_flight", "a_call_of_one_step_holds_no_loop",
    )
]  # fmt: skip
CHEAP_GAN = [
    "gan/test_objectives::test_rates_end_with_the_run",
    "gan/test_objectives::test_steps_share_no_noise",
    "gan/test_remedies",
    "gan/test_objectives::test_each_step_of_the_critic_has_examples_of_its_own",
]
LANDSCAPE = [
    "gan/test_objectives::test_a_landscape_judges_each_point_by_itself",
    "gan/test_objectives::test_a_landscape_of_differences_alone_is_seen_from_its_median",
]
# {file: (fast tests, slower ones)}: files in tests/, or tests in them.
TESTS = {
    "claims/__init__": (["claims/test_claims"], []),
    "core/loop": (["core/test_loop"], []),
    "core/parallel": (CHEAP, ["core/test_parallel"]),
    "core/arrangement": (["core/test_arrangement"], []),
    "core/machine": (["core/test_machine"], []),
    "vae/claims": (["vae/test_claims"], []),
    "vae/objectives": (["vae/test_objectives"], []),
    "vae/evaluate": (["vae/test_evaluate", "vae/test_evaluate_posteriors"], []),
    "gan/claims": (["gan/test_claims"], []),
    "gan/objectives": (CHEAP_GAN, ["gan/test_objectives"]),
    "gan/evaluate": (["gan/test_evaluate"], LANDSCAPE),
    "scaling/claims": (["scaling/test_claims"], []),
    "scaling/fitting": (["scaling/test_fitting"], []),
    "scaling/exponents": (["scaling/test_exponents"], ["scaling/test_fitting"]),
    "scaling/sweep": (["scaling/test_sweep"], ATTENTION),
    "scaling/training": (["scaling/test_training"], ATTENTION),
    "domains/claims": (["domains/test_claims"], []),
    "domains/evaluate": (["domains/test_evaluate", "domains/test_evaluate_arms"], []),
    "domains/training": (["domains/test_training"], DOMAINS),
}
# Imported before the forks; nothing of genjax, which is what changes.
LIBRARIES = (
    "jax", "jax.experimental.pallas", "flax.linen", "optax", "optax.contrib", "orbax.checkpoint",
    "scipy.stats", "scipy.optimize", "sklearn.decomposition", "sklearn.linear_model",
    "sklearn.mixture", "sklearn.neighbors", "sklearn.datasets", "matplotlib.pyplot",
    "jaxtyping", "beartype", "pytest", "filelock", "tqdm", "absl.flags", "tensorboardX",
)  # fmt: skip
UNDECIDED = ("survived", "timeout")
KEY = ("file", "before", "after")
# Bit operators, which a float refuses and a dictionary puts up with alone; `is` for `==`, which is
# the same for small numbers.
LEFT_OUT = ("BitOr", "BitAnd", "BitXor", "LShift", "RShift", "_Eq_Is", "_NotEq_IsNot")


def mutants_of(file: str, each: int, seed: int) -> list[dict]:
    """At most `each` mutants of a file: where, the lines before and after, and the whole text."""
    from cosmic_ray import plugins
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.mutating import mutate_code

    source = (ROOT / "genjax" / f"{file}.py").read_text()
    types, places = annotations(source), collections.defaultdict(list)
    nodes = list(ast_nodes(get_ast(source)))
    for name in plugins.operator_names():
        operator = plugins.get_operator(name)
        if operator.arguments() or any(part in name for part in LEFT_OUT):
            continue
        found = [(node, at) for node in nodes for at in operator().mutation_positions(node)]
        for occurrence, (node, (start, end)) in enumerate(found):
            # The star before keywords is no product.
            signature = node.parent is not None and node.parent.type == "parameters"
            if not signature and not any(first <= start < last for first, last in types):
                places[start, end].append((operator, occurrence))

    rng, sample = random.Random(f"{seed} {file}"), []
    for place in rng.sample(sorted(places), len(places)):
        if len(sample) == each:
            break
        rng.shuffle(places[place])
        made = (mutate_code(source, operator(), at) for operator, at in places[place])
        text = next((text for text in made if text and is_other(source, text)), None)
        if text:
            before, after = changed(source, text)
            where = {"file": file, "line": place[0][0], "before": before, "after": after}
            sample.append(where | {"text": text})
    return sample


def annotations(source: str) -> list[tuple]:
    """(start, end) of each type annotation, as (line, column)."""
    found = []
    for node in ast.walk(ast.parse(source)):
        for name in ("annotation", "returns"):
            part = getattr(node, name, None)
            if part is not None:
                ends = (part.end_lineno, part.end_col_offset)
                found.append(((part.lineno, part.col_offset), ends))
    return found


def is_other(source: str, text: str) -> bool:
    """Whether a mutant compiles, and to another program."""
    try:
        return ast.dump(ast.parse(source)) != ast.dump(ast.parse(text))
    except SyntaxError:
        return False


def changed(source: str, text: str) -> tuple[str, str]:
    """The lines that differ, before and after."""
    left, right = (part.splitlines() for part in (source, text))
    top = next(i for i, pair in enumerate(zip(left, right, strict=False)) if pair[0] != pair[1])
    below = 0
    while left[-1 - below] == right[-1 - below] and below < min(len(left), len(right)) - top - 1:
        below += 1
    return tuple(
        " ".join(line.strip() for line in part[top : len(part) - below]) for part in (left, right)
    )


class Bench:
    """A copy of the repository, in which one file at a time is another."""

    def __init__(self, place: Path):
        self.place, self.said = place / "copy", place / "said"
        self.limits: dict[tuple, float] = {}
        listed = ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        for name in subprocess.check_output(listed, text=True).split("\0"):
            if name and (ROOT / name).is_file():
                (self.place / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, self.place / name)
        os.environ |= {
            "JAX_PLATFORMS": "cpu",
            "JAX_COMPILATION_CACHE_DIR": str(place / "programs"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "MPLBACKEND": "agg",
            "OPENBLAS_NUM_THREADS": "1",
            "PROGRAMS": str(place / "programs"),
            "PYTHONDONTWRITEBYTECODE": "1",  # A mutant may have its original's size and second.
            "PYTHONPATH": str(self.place),
            "XDG_CACHE_HOME": str(place / "cache"),
        }
        sys.dont_write_bytecode = True
        for name in LIBRARIES:
            importlib.import_module(name)

    def passes(self, tests: list[str], limit: float) -> tuple[str, float]:
        """("passed", "failed: <test>" or "timeout", seconds) of test files."""
        started = time.monotonic()
        child = os.fork()
        if not child:
            self.become_pytest(tests)
        while time.monotonic() - started < limit:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                break
            time.sleep(0.05)
        else:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "timeout", time.monotonic() - started
        took = time.monotonic() - started
        if status == 0:
            return "passed", took
        lines = self.said.read_text(errors="replace").splitlines()
        failed = [line for line in lines if line.startswith(("FAILED", "ERROR "))] or lines[-1:]
        return f"failed: {failed[0] if failed else status}", took

    def become_pytest(self, tests: list[str]):
        """Runs test files, and ends this process."""
        os.setsid()
        stream = os.open(self.said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(stream, 1), os.dup2(stream, 2)
        os.chdir(self.place)
        sys.path[0] = str(self.place)
        options, code = ["-x", "-n0", "-pno:cacheprovider", "--tb=no", "--assert=plain"], 70
        try:
            import pytest

            parts = (name.partition("::") for name in tests)
            names = [f"tests/{file}.py{colons}{test}" for file, colons, test in parts]
            code = int(pytest.main([*options, *names]))
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush(), sys.stderr.flush()
            os._exit(code)

    def limit(self, tests: list[str]) -> float:
        """Five times the seconds that tests take without a mutant. The first run fills the cache
        of programs, which a mutant may have to do again."""
        if tuple(tests) not in self.limits:
            found, seconds = self.passes(tests, 900)
            assert found == "passed", f"{tests}: {found}\n{self.said.read_text()}"
            print(f"{seconds:.1f} s without a mutant: {' '.join(tests)}", flush=True)
            self.limits[tuple(tests)] = max(60.0, 5 * seconds)
        return self.limits[tuple(tests)]

    def judge(self, mutant: dict, stages: int) -> dict:
        """Which test of a mutant's file fails first; "survived" where none does."""
        path = self.place / "genjax" / f"{mutant['file']}.py"
        original, took, seen = path.read_text(), 0.0, "survived"
        for tests in filter(None, TESTS[mutant["file"]][:stages]):
            limit = self.limit(tests)
            path.write_text(mutant["text"])
            found, seconds = self.passes(tests, limit)
            path.write_text(original)
            took += seconds
            if found != "passed":
                seen = found
                break
        shown = {key: value for key, value in mutant.items() if key != "text"}
        return shown | {"outcome": seen, "seconds": round(took, 1)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--each", type=int, default=14, help="mutants a file, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="files, such as core/loop,vae/claims")
    parser.add_argument(
        "--again", type=Path, help="results whose survivors and timeouts alone are tried"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "mutants.jsonl")
    parser.add_argument("--fast", action="store_true", help="leave the slower tests out")
    parser.add_argument("--list", action="store_true", help="show the mutants and end")
    asked = parser.parse_args()

    files = asked.only.split(",") if asked.only else list(TESTS)
    sample = [mutant for file in files for mutant in mutants_of(file, asked.each, asked.seed)]
    if asked.again:
        rows = [json.loads(line) for line in asked.again.read_text().splitlines()]
        left = [[row[key] for key in KEY] for row in rows if row["outcome"] in UNDECIDED]
        sample = [mutant for mutant in sample if [mutant[key] for key in KEY] in left]
    if asked.list:
        for mutant in sample:
            print(f"{mutant['file']}:{mutant['line']}\n  {mutant['before']}\n  {mutant['after']}")
        return
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        bench, results = Bench(Path(place)), []
        with asked.out.open("w") as stream:
            for mutant in sample:
                results.append(bench.judge(mutant, 1 if asked.fast else 2))
                print(json.dumps(results[-1]), file=stream, flush=True)
                shown = [str(results[-1][key]) for key in ("file", "line", "seconds", "outcome")]
                print(*shown, flush=True)
    for file in files:
        own = [row for row in results if row["file"] == file]
        survived = [row for row in own if row["outcome"] == "survived"]
        print(f"{file}: {len(own)} mutants, {len(survived)} survived")
        for row in survived:
            print(f"  line {row['line']}: {row['before']}\n  -> {row['after']}")


if __name__ == "__main__":
    main()
