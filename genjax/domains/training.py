"""A study of language models: arms that may start from each other, trained and measured in order.

An arm is a recipe, {switch: value} as experiments/domains.py defines them. Arms that differ in data
or rate alone share one compiled program, and an arm's end is an Orbax checkpoint that others start
from.
"""

import math
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib

from genjax import attention
from genjax.core import parallel, runs, steps
from genjax.core.checkpoints import Checkpoints
from genjax.core.errors import UsageError
from genjax.domains import data
from genjax.lm import finetune, per_domain, recurrent, transformer

# What makes a network; a base and what starts from it agree in these.
NETWORK = ("model", "attention", "window", "width", "depth", "heads")


class Settings(NamedTuple):
    """What all arms share.

    parallel, steps_per_call, precision, log_every, checkpoint_every: the flags of these names.
    evaluations: along training, on `watched` windows of each domain. shots, example: examples in
    context, and their tokens. dynamic: rates of dynamic evaluation to choose from. samples: tokens
    generated a domain.
    """

    seeds: list[int]
    batch_size: int
    parallel: str
    steps_per_call: int
    precision: str
    log_every: int
    checkpoint_every: int
    evaluations: int
    watched: int
    shots: list[int]
    example: int
    dynamic: list[float]
    samples: int


class Study:
    """Arms, each trained from scratch or from another; networks and programs shared where equal."""

    def __init__(self, source: data.Source, arms: dict[str, dict], settings: Settings):
        self.source, self.arms, self.settings = source, arms, settings
        self.seeds, self.shots = settings.seeds, settings.shots
        self._programs, self._models, self._meters = {}, {}, {}
        for arm in arms:
            self.check(arm)

    def check(self, arm):
        """Raises UsageError where a recipe contradicts itself, or names what does not exist."""
        recipe, where = self.arms[arm], f"--arm={arm}"
        before = list(self.arms)[: list(self.arms).index(arm)]
        parent = recipe["from"]
        if parent and parent not in before and not Path(parent).is_dir():
            raise UsageError(
                f"{where}: --from={parent}: neither an arm before it "
                f"({', '.join(before) or 'there is none'}) nor a folder <run>/models/<arm>"
            )
        self.check_weights(arm, before)
        scratch = {"replay": 0, "ewc": 0, "anchor": 0, "average": 1, "train": "all"}
        for key, value in scratch.items():
            if recipe[key] != value and not parent:
                raise UsageError(f"{where}: --{key}={recipe[key]} needs --from=<arm>")
        for key in ("replay", "ewc"):
            if recipe[key] and not self.old(arm):
                raise UsageError(
                    f"{where}: --{key}={recipe[key]}: --from has no domains in this run besides "
                    "those that train now"
                )
        if parent in self.arms:
            base = self.arms[parent]
            changed = [key for key in NETWORK if base[key] != recipe[key]]
            if changed and recipe["model"] != "ngram":
                raise UsageError(
                    f"{where}: --{changed[0]}={recipe[changed[0]]}, but --from={parent} has "
                    f"{base[changed[0]]}; repeat the shape that it starts from"
                )
        if "ngram" in (recipe["model"], self.arms.get(parent, {}).get("model")) and parent:
            raise UsageError(f"{where}: an n-gram is counted, not finetuned; drop --from")
        if recipe["model"] == "ngram" and recipe["mixture"] != "uniform":
            raise UsageError(
                f"{where}: --mixture={recipe['mixture']}: an n-gram counts every domain alike"
            )
        self.mixture(arm)
        if recipe["model"] != "ngram":
            self.model(arm)

    def check_weights(self, arm, before):
        """The same, for DoReMi's two further arms: the proxy, and what takes its mixture."""
        recipe, where = self.arms[arm], f"--arm={arm}"
        reference, rule = recipe["dro"], recipe["mixture"]
        if reference:
            if reference not in before:
                raise UsageError(
                    f"{where}: --dro={reference}: no arm before it "
                    f"({', '.join(before) or 'there is none'})"
                )
            changed = [key for key in NETWORK if self.arms[reference][key] != recipe[key]]
            if changed:
                raise UsageError(
                    f"{where}: --{changed[0]}={recipe[changed[0]]}, but --dro={reference} has "
                    f"{self.arms[reference][changed[0]]}; both have one shape"
                )
            if recipe["model"] == "ngram":
                raise UsageError(f"{where}: --dro={reference}: an n-gram is counted; drop --dro")
            if self.trained_on(reference) != self.trained_on(arm):
                raise UsageError(f"{where}: --dro={reference}: was trained on other domains")
            if recipe["from"] or rule != "uniform":
                raise UsageError(
                    f"{where}: --dro={reference}: starts from scratch and draws domains evenly; "
                    "drop --from and --mixture"
                )
        proxy = proxy_of(rule)
        if proxy is None:
            return
        if proxy not in before or not self.arms[proxy]["dro"]:
            raise UsageError(f"{where}: --mixture={rule}: no arm before it with --dro")
        if self.trained_on(proxy) != self.trained_on(arm):
            raise UsageError(f"{where}: --mixture={rule}: trains on other domains than {proxy}")

    def trained_on(self, arm) -> list[str]:
        return data.select(self.source, self.arms[arm]["domains"])

    def parent(self, arm) -> str | None:
        """The arm of this run that this one starts from."""
        found = self.arms[arm]["from"]
        return found if found in self.arms else None

    def old(self, arm) -> list[str]:
        """What was trained on before, along the chain, and is not trained on now."""
        found, now = [], self.trained_on(arm)
        while (arm := self.parent(arm)) is not None:
            found += [name for name in self.trained_on(arm) if name not in [*now, *found]]
        return found

    def mixture(self, arm, run=None) -> dict[str, float]:
        """How often each domain is drawn; what a proxy found is known once it is in the run."""
        recipe, names = self.arms[arm], self.trained_on(arm)
        sizes, rule = [self.source.pool(name, recipe["limit"]) for name in names], recipe["mixture"]
        proxy = proxy_of(rule)
        if proxy is not None:
            rule = "uniform"
            if run:
                found = run.read_json(f"mixtures/{proxy}.json")
                rule = "+".join(str(np.mean(found[name])) for name in names)
        return data.weights(names, sizes, rule, recipe["replay"], tuple(self.old(arm)))

    def model(self, arm) -> transformer.Model:
        recipe = self.arms[arm]
        key = tuple(recipe[name] for name in NETWORK)
        if key not in self._models:
            self._models[key] = build(
                recipe, self.source.vocabulary, self.source.length, self.settings.precision
            )
        return self._models[key]

    def meter(self, arm, kind):
        apply = self.model(arm).apply
        if (kind, apply) not in self._meters:
            self._meters[kind, apply] = kind(apply)
        return self._meters[kind, apply]

    def method(self, arm) -> finetune.Method:
        recipe = self.arms[arm]
        rank = recipe["lora_rank"] if recipe["train"] == "lora" else 0
        dro = len(self.trained_on(arm)) if recipe["dro"] else 0
        return finetune.Method(recipe["train"], rank, recipe["ewc"], recipe["anchor"], dro)

    def step(self, arm) -> parallel.Compiled:
        """The compiled step; arms that differ in data or rate alone share one."""
        model, method = self.model(arm), self.method(arm)

        def make():
            loss = finetune.loss(model.apply, method, self.arms[arm]["depth"])
            return parallel.compile_step(
                steps.training_step(loss, self.optimizer(arm)),
                {},
                self.seeds,
                self.settings.batch_size,
                mode=self.settings.parallel,
                how=parallel.plan(convolutions=False, steps_per_call=self.settings.steps_per_call),
                take=take_windows,
            )

        return self.shared(arm, "step", make)

    def begin(self, arm) -> Callable:
        """(keys, base, fisher, reference, rate) -> the first state, leaves [seeds, ...].

        The trees in the middle may be None.
        """
        model, method = self.model(arm), self.method(arm)

        def one(key, base, fisher, reference, rate):
            base = model.init(key) if base is None else base
            params = finetune.start(key, base, method, fisher, reference)
            return steps.init_state(params, self.optimizer(arm, rate))

        axes = (0, 0, 0, 0, None)
        return self.shared(arm, "begin", lambda: jax.jit(jax.vmap(one, in_axes=axes)))

    def merge(self, arm) -> Callable:
        """(parameters of the state, [seeds, ...]) -> the model's."""
        of = partial(finetune.merged, method=self.method(arm))
        return self.shared(arm, "merge", lambda: jax.jit(jax.vmap(of)))

    def shared(self, arm, what, make):
        """What `make` makes, once for all arms that differ in data or rate alone."""
        recipe = self.arms[arm]
        names = ("optimizer", "weight_decay", "steps")
        key = (what, self.model(arm).apply, self.method(arm), *(recipe[name] for name in names))
        if key not in self._programs:
            self._programs[key] = make()
        return self._programs[key]

    def optimizer(self, arm, rate=0.0) -> optax.GradientTransformation:
        """Its rate is part of the state, so that other rates need no other program."""
        recipe = self.arms[arm]
        shape = optax.warmup_cosine_decay_schedule(
            0.0, 1.0, recipe["steps"] // 20 + 1, recipe["steps"] + 1, end_value=0.05
        )
        kinds = {"muon": optax.contrib.muon, "adamw": optax.adamw}

        def make(learning_rate):
            return optax.chain(
                optax.clip_by_global_norm(1.0),
                kinds[recipe["optimizer"]](
                    lambda count: learning_rate * shape(count),
                    weight_decay=recipe["weight_decay"],
                ),
            )

        inner = optax.inject_hyperparams(make)(learning_rate=rate)
        return finetune.optimizer(inner, self.method(arm), recipe["depth"], recipe["steps"])

    def train(self, run, arm):
        """The parameters [seeds, ...] of a trained arm, on the host; None for an n-gram."""
        recipe = self.arms[arm]
        if recipe["model"] == "ngram":
            return None
        method = self.method(arm)
        keys = jax.vmap(jax.random.key)(np.asarray(self.seeds))
        base = self.base(run, arm) if recipe["from"] else None
        fisher = self.fisher(arm, base) if method.ewc else None
        reference = self.base(run, arm, "dro") if method.dro else None
        state = self.begin(arm)(keys, base, fisher, reference, recipe["learning_rate"])
        state = jax.device_get(state)
        log_every, every = runs.looks(
            recipe["steps"], self.settings.evaluations, self.settings.log_every
        )
        log_every, save_every = runs.intervals(
            recipe["steps"], log_every, self.settings.checkpoint_every
        )
        state = runs.train(
            run,
            arm,
            None,
            None,
            {},
            seeds=self.seeds,
            steps=recipe["steps"],
            batch_size=self.settings.batch_size,
            log_every=log_every,
            save_every=save_every,
            how=None,
            validate=self.watch(arm),
            validate_every=every,
            batches=data.batches(
                self.source,
                self.mixture(arm, run),
                self.settings.batch_size,
                seeds=self.seeds,
                limits=dict.fromkeys(self.trained_on(arm), recipe["limit"]),
            ),
            compiled=self.step(arm),
            state=state,
        )
        if method.dro:
            mean = np.asarray(jax.device_get(state.params["weights"]["mean"]), float)
            # Thousands of sums in float32 are off by more than a mixture may be.
            mean = (mean / mean.sum(-1, keepdims=True)).T.tolist()
            run.write_json(
                f"mixtures/{arm}.json", dict(zip(self.trained_on(arm), mean, strict=True))
            )
        merge = self.merge(arm)
        params = jax.device_get(merge(state.params))
        if recipe["average"] < 1:
            params = finetune.average(base, params, recipe["average"])
        # A run that was killed while measuring has saved it already.
        shutil.rmtree(run.folder / "models" / arm, ignore_errors=True)
        kept = Checkpoints(run.folder / "models" / arm, keep=1)
        kept.save(recipe["steps"], params)
        kept.close()
        return params

    def base(self, run, arm, key="from"):
        """The trained parameters that an arm starts from, or (`dro`) compares with."""
        parent = self.arms[arm][key]
        folder = run.folder / "models" / parent if parent in self.arms else Path(parent)
        like = jax.eval_shape(
            jax.vmap(self.model(arm).init), jax.vmap(jax.random.key)(np.asarray(self.seeds))
        )
        like = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), like)
        kept = Checkpoints(folder, keep=1)
        _, found = kept.restore(like, runs.say, set_aside=False)
        kept.close()
        # Orbax reads an array of any shape.
        shapes = [[leaf.shape for leaf in jax.tree.leaves(tree)] for tree in (like, found)]
        if found is None or shapes[0] != shapes[1]:
            raise UsageError(
                f"--arm={arm}: --{key}={parent}: no whole checkpoint of {len(self.seeds)} seeds "
                "and of this shape; name a folder <run>/models/<arm>, and that run's shape and "
                "seeds"
            )
        return found

    def fisher(self, arm, base):
        """The diagonal Fisher on the old domains' training text."""
        names = self.old(arm)
        draw = data.batches(
            self.source, data.weights(names, [1] * len(names), "uniform"), 64, seeds=[0]
        )
        of = partial(finetune.fisher, self.model(arm).apply)
        found = self.shared(arm, "fisher", lambda: jax.jit(jax.vmap(of, in_axes=(0, None))))
        return found(base, draw(0, 1)[0, 0, :, :-1])

    def watch(self, arm):
        """Losses along training on windows of the valid texts: never the tests."""
        groups = {"new": self.trained_on(arm), "old": self.old(arm)}
        seen = sum(groups.values(), [])
        groups["unseen"] = [name for name in self.source.held_out if name not in seen]
        windows, counts, owner = [], [], []
        for names in groups.values():
            for name in names:
                found = self.source.measured(name, "valid")
                pick = np.linspace(0, len(found.windows) - 1, self.settings.watched).astype(int)
                windows.append(found.windows[pick])
                counts.append(found.scored[pick] * found.tokens_per_unit)
                owner += [name] * len(pick)
        windows, counts, owner = np.concatenate(windows), np.concatenate(counts), np.array(owner)
        measure = self.meter(arm, per_domain.meter)
        merge = self.merge(arm)

        parts = {f"valid_{group}": np.isin(owner, names) for group, names in groups.items()}
        parts |= {f"valid/{name}": owner == name for name in dict.fromkeys(owner)}

        def validate(state):
            bits = measure(jax.device_get(merge(state.params)), windows)[0] * counts
            return {
                part: [float(row[which].sum() / (counts[which] > 0).sum()) for row in bits]
                for part, which in parts.items()
                if which.any()
            }

        return validate

    def size(self, arm) -> dict:
        """Parameters, and FLOPs of a token's training step: six a weight, attention's pairs."""
        recipe = self.arms[arm]
        if recipe["model"] == "ngram":
            return {"parameters": 0, "flops": 0.0}
        shapes = jax.eval_shape(self.model(arm).init, jax.random.key(0))
        parameters = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))
        # A reference reads every window once more.
        flops = (8.0 if recipe["dro"] else 6.0) * parameters
        if recipe["model"] == "transformer":
            cost = (
                variant(recipe, self.source.length, self.settings.precision).cost.flops
                * recipe["heads"]
                * recipe["depth"]
            )
            flops += 3.5 * cost / self.source.length
        return {"parameters": parameters, "flops": flops}

    def disk_needed(self) -> float:
        """Bytes for two checkpoints of params and moments, and the final model, and 50 MB."""
        total = sum(self.size(arm)["parameters"] for arm in self.arms)
        return 5e7 + 4.0 * 9 * len(self.seeds) * total


def variant(recipe: dict, length: int, dtype: str) -> attention.Variant:
    """The attention of a recipe."""
    name, window = recipe["attention"], recipe["window"]
    options = attention.select(name, window=window, keep=window, dtype=dtype)
    head_dim = recipe["width"] // recipe["heads"]
    return attention.build(name, length, head_dim, causal=True, **options)


def build(recipe: dict, vocabulary: int, length: int, dtype: str) -> transformer.Model:
    """The network of a recipe. Raises UsageError where its sizes contradict each other."""
    shape = {"vocabulary": vocabulary, "width": recipe["width"], "depth": recipe["depth"]}
    shape["dtype"] = jnp.dtype(dtype)
    if recipe["model"] != "transformer":
        return recurrent.build(recipe["model"], **shape)
    if not attention.find(recipe["attention"]).can_be_causal:
        raise UsageError(
            f"--attention={recipe['attention']}: not causal; a language model needs it"
        )
    try:
        return transformer.build(
            variant(recipe, length, dtype), length=length, heads=recipe["heads"], **shape
        )
    except ValueError as error:
        raise UsageError(f"--heads={recipe['heads']}: {error}") from error


def take_windows(arrays, windows) -> dict:
    """The batch of what domains.batches draws, [b, length + 2]; padding is -1 all over."""
    del arrays
    real = windows[:, 0] >= 0
    tokens = jnp.maximum(windows[:, :-1], 0)
    return {
        "tokens": tokens[:, :-1],
        "target": tokens[:, 1:],
        "domain": windows[:, -1],
        "weight": real.astype(jnp.float32),
    }


def proxy_of(rule: str) -> str | None:
    """The arm whose weights a mixture's rule takes."""
    kind, _, arm = rule.partition(":")
    return arm if kind == "doremi" else None
