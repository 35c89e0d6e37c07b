"""Fits y = slope * x + noise by descent, every seed of an arm in one program."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

from genjax import claims
from genjax.claims import sealed
from genjax.claims.sealed import Claim, Control, Looks
from genjax.core import order, parallel, steps, training
from genjax.run import Experiment, execute

from genjax.line.config import Config  # isort: skip


class Job(NamedTuple):
    config: Config
    data: dict


class Line(NamedTuple):
    """slope: the fitted one. predict: x -> y."""

    slope: float
    predict: object


def run(config, folder, **how):
    return execute(EXPERIMENT, config, folder, **how)


def prepare(config):
    rng = np.random.default_rng(0)
    x = rng.normal(size=64).astype(np.float32)
    noise = 0.1 * rng.normal(size=64).astype(np.float32)
    return Job(config, {"x": x, "y": np.float32(config.slope) * x + noise})


def loss(params, batch, key, gather):
    del key, gather
    return (params["slope"] * batch["x"] - batch["y"]) ** 2, {}


def work(job, folder, clock):
    config, when = job.config, training.schedule(job.config)
    for name, arm in config.arms().items():
        optimizer = optax.sgd(arm.learning_rate)
        compiled = parallel.compile_step(
            steps.training_step(loss, optimizer),
            job.data,
            config.all_seeds,
            config.batch_size,
            mode=config.parallel,
            needs=training.needs(config, when),
        )
        state = training.initial(
            lambda key, o=optimizer: steps.init_state({"slope": jax.random.normal(key)}, o),
            config.all_seeds,
        )
        batches = order.batches(config.all_seeds, 64, config.batch_size)
        with clock.part("train"):
            state = training.train(folder, name, compiled, state, when, batches)
        folder.write_json(f"evaluation/{name}.json", {"slope": state.params["slope"].tolist()})
        folder.write_arrays(f"arrays/{name}.npz", {"slopes": state.params["slope"]})


CLAIM = Claim(
    id="L1",
    statement="{name} finds the slope",
    estimand="|slope - true slope|",
    unit="m/s",
    direction="less",
    threshold=0.2,
    margin=0.01,
    why="a centimetre a second",
    replicate="seed",
    family="line",
    negative=("a slope of 0",),
    positive=("the true slope",),
    version=1,
    date="2026-11-23",
)


def judge(wrong, config):
    looks = Looks(sequential=config.max_seeds > 0)
    flat = Control("a slope of 0", np.full(config.seeds, abs(config.slope)))
    true = Control("the true slope", np.zeros(config.seeds))
    return [
        sealed.judge(
            CLAIM, error, negative=[flat], positive=[true], looks=looks, names={"name": name}
        )
        for name, error in wrong.items()
    ]


def summarize(files, config):
    found = {name: files["evaluation"][name]["slope"] for name in config.arms()}
    wrong = {name: np.abs(np.array(slopes) - config.slope) for name, slopes in found.items()}
    return {
        "data": "a line",
        "seeds": config.all_seeds,
        "arms": list(found),
        "metrics": {
            f"{name}/error": claims.summarize(error, "m/s") | {"better": "less"}
            for name, error in wrong.items()
        },
        "claims": judge(wrong, config),
        "notes": ["Lines alone."],
    }


def slopes(run):
    figure = Figure()
    axes = figure.subplots()
    for name, arrays in run["arrays"].items():
        axes.plot(arrays["slopes"], "o", label=name)
    return "Fitted slopes, one a seed.", figure


def load(run, arm, step, params):
    slope = float(params["slope"])
    return Line(slope, lambda x: slope * jnp.asarray(x))


EXPERIMENT = Experiment(
    name="line",
    title="Does descent find a slope?",
    config=Config,
    prepare=prepare,
    disk_needed=lambda job: 1e6,
    work=work,
    summarize=summarize,
    figures={"slopes": slopes},
    load=load,
)
