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

from genjax import attention, bydomain, finetune, ngram, parallel, runs, steps
from genjax.checkpoints import Checkpoints
from genjax.data import domains
from genjax.errors import UsageError
from genjax.metrics import transfer
from genjax.models import recurrent, transformer

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

    def __init__(self, source: domains.Source, arms: dict[str, dict], settings: Settings):
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
        for key in ("replay", "ewc", "anchor"):
            if recipe[key] and not parent:
                raise UsageError(f"{where}: --{key}={recipe[key]} needs --from=<arm>")
        if recipe["train"] != "all" and not parent:
            raise UsageError(f"{where}: --train={recipe['train']} needs --from=<arm>")
        if recipe["replay"] and not self.old(arm):
            raise UsageError(
                f"{where}: --replay={recipe['replay']}: --from has no domains in this run besides "
                "those that train now"
            )
        if parent in self.arms:
            base = self.arms[parent]
            changed = [key for key in NETWORK if base[key] != recipe[key]]
            if changed and recipe["model"] != "ngram":
                raise UsageError(
                    f"{where}: --{changed[0]}={recipe[changed[0]]}, but --from={parent} has "
                    f"{base[changed[0]]}; a base gives its own shape"
                )
        if "ngram" in (recipe["model"], self.arms.get(parent, {}).get("model")) and parent:
            raise UsageError(f"{where}: an n-gram is counted, not finetuned; drop --from")
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
        if recipe["model"] == "ngram":
            raise UsageError(f"{where}: --mixture={rule}: an n-gram counts every domain alike")
        if self.trained_on(proxy) != self.trained_on(arm):
            raise UsageError(f"{where}: --mixture={rule}: trains on other domains than {proxy}")

    def trained_on(self, arm) -> list[str]:
        return domains.select(self.source, self.arms[arm]["domains"])

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
        if proxy_of(rule) is not None:
            rule = "uniform"
            if run:
                found = run.read_json(f"mixtures/{proxy_of(recipe['mixture'])}.json")
                rule = "+".join(str(np.mean(found[name])) for name in names)
        return domains.weights(names, sizes, rule, recipe["replay"], tuple(self.old(arm)))

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
        every = max(1, recipe["steps"] // self.settings.evaluations)
        log_every = math.gcd(every, self.settings.log_every)
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
            validate=self.watch(arm, method),
            validate_every=every,
            batches=domains.batches(
                self.source,
                self.mixture(arm, run),
                self.settings.batch_size,
                seeds=self.seeds,
                limit=recipe["limit"],
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
        names = self.old(arm) or self.trained_on(self.parent(arm) or arm)
        draw = domains.batches(
            self.source, domains.weights(names, [1] * len(names), "uniform"), 64, seeds=[0]
        )
        return jax.jit(
            jax.vmap(lambda p: finetune.fisher(self.model(arm).apply, p, draw(0, 1)[0, 0, :, :-1]))
        )(base)

    def watch(self, arm, method):
        """Losses along training on the first windows of the valid texts: never the tests."""
        groups = {"new": self.trained_on(arm), "old": self.old(arm), "unseen": self.source.held_out}
        groups["unseen"] = [name for name in groups["unseen"] if name not in groups["new"]]
        windows, scored, owner = [], [], []
        for group, names in groups.items():
            for name in names:
                found = self.source.measured(name, "valid")
                pick = np.linspace(0, len(found.windows) - 1, self.settings.watched).astype(int)
                windows.append(found.windows[pick])
                scored.append(found.scored[pick])
                owner += [group] * len(pick)
        windows, scored, owner = np.concatenate(windows), np.concatenate(scored), np.array(owner)
        measure = self.meter(arm, bydomain.meter)
        merge = self.merge(arm)

        def validate(state):
            bits = measure(jax.device_get(merge(state.params)), windows)[0]
            return {
                f"valid_{group}": [
                    float(row[(owner == group)[:, None] & scored].mean()) for row in bits
                ]
                for group, names in groups.items()
                if names
            }

        return validate

    # --- Measuring -------------------------------------------------------------------------------

    def measure(self, run, arm, params):
        """({measure: [seeds]}, arrays of the pictures) of a trained arm."""
        source, new, old = self.source, self.trained_on(arm), self.old(arm)
        measure = self.ngram(arm) if params is None else self.meter(arm, bydomain.meter)
        unseen = [name for name in source.held_out if name not in [*new, *old]]
        by_name, lines = {}, {}
        for name in source.names:
            test = source.measured(name, "test")
            by_name[name] = bydomain.losses(measure, params, test)
            if source.lines:
                lines[name] = source.lines(name, [*new, *old])
        row = {}
        groups = {"seen": [*new, *old], "new": new if old else [], "old": old, "unseen": unseen}
        for group, names in groups.items():
            if not names:
                continue
            loss = np.stack([by_name[name]["loss"] for name in names])
            row[group] = loss.mean(0)
            if group in ("seen", "unseen"):
                row[f"worst_{group}"] = loss.max(0)
                row[f"ece_{group}"] = np.mean([by_name[name]["ece"] for name in names], 0)
                # Mean, low and high over documents, the seeds' mean of each.
                parts = [by_name[name]["documents"].mean(0) for name in names]
                sizes = [by_name[name]["sizes"] for name in names]
                bits, sizes = np.concatenate(parts), np.concatenate(sizes)
                row[f"bootstrap_{group}"] = transfer.bootstrap(bits / sizes, sizes)
            if lines:
                for line in ("known", "family", "seen"):
                    row[f"{group}_{line}_line"] = np.full(
                        len(self.seeds), np.mean([lines[name][line].mean() for name in names])
                    )
                row[f"excess_{group}"] = row[group] - row[f"{group}_known_line"]
        if unseen:
            row["ood_id_ratio"] = row["unseen"] / row["seen"]
        if lines and unseen:
            row["score"] = transfer.composition_score(
                row["unseen"], row["unseen_family_line"], row["unseen_seen_line"]
            )
        if self.arms[arm]["dro"]:
            found = run.read_json(f"mixtures/{arm}.json")
            row |= {f"weight/{name}": weights for name, weights in found.items()}
        valid = [bydomain.losses(measure, params, source.measured(n, "valid"))["loss"] for n in new]
        row["valid"] = np.mean(valid, 0)
        row |= {f"loss/{name}": found["loss"] for name, found in by_name.items()}
        arrays = {
            "losses": np.stack([by_name[name]["loss"] for name in source.names], -1),
            "position_seen": np.mean([by_name[n]["position"] for n in groups["seen"]], 0),
        }
        if unseen:
            arrays["position_unseen"] = np.mean([by_name[n]["position"] for n in unseen], 0)
        if lines:
            for line in ("known", "family"):
                arrays[line] = np.array([lines[name][line].mean() for name in source.names])
            for group in ("seen", "unseen"):
                if groups[group]:
                    arrays[f"position_{group}_lines"] = np.stack(
                        [
                            np.mean([lines[n][line].mean(0) for n in groups[group]], 0)
                            for line in ("known", "family", "seen")
                        ]
                    )
        if self.parent(arm):
            row |= self.forgotten(run, arm, params, row, by_name)
        if self.shots and unseen and params is not None and not self.parent(arm):
            few = self.few_shot(measure, params, unseen)
            arrays["few_shot"] = few
            row["few_shot_gain"] = few[:, 0] - few[:, -1]
            row["few_shot_area"] = np.array(
                [transfer.few_shot_area(np.array(self.shots, float), values) for values in few]
            )
        if self.settings.dynamic and params is not None and not self.parent(arm):
            row |= self.dynamic(arm, params, groups)
        if params is not None and self.settings.samples:
            arrays |= self.generated(arm, params)
        return {name: np.asarray(v, float).tolist() for name, v in row.items()}, arrays

    def forgotten(self, run, arm, params, row, by_name) -> dict:
        """What the old domains lost, and the new gained, against the arm it started from."""
        before = run.read_json(f"evaluation/{self.parent(arm)}.json")
        new, old = self.trained_on(arm), self.old(arm)
        gain = [np.subtract(before[f"loss/{n}"], by_name[n]["loss"]) for n in new]
        found = {"gain": np.mean(gain, 0)}
        if old:
            earlier = np.array([before[f"loss/{n}"] for n in old])
            now = np.array([by_name[n]["loss"] for n in old])
            found["forgetting"] = [
                transfer.forgetting(a, b)[1] for a, b in zip(earlier.T, now.T, strict=True)
            ]
            measure = self.meter(arm, bydomain.drift_meter)
            windows = np.concatenate(
                [self.source.measured(n, "valid").windows[: self.settings.watched] for n in old]
            )
            found["drift"] = measure((self.base(run, arm), params), windows).mean((1, 2))
        return found | self.sequence(run, arm, by_name)

    def sequence(self, run, arm, by_name) -> dict:
        """GEM's three measures, where the arm is the end of a sequence of adaptations."""
        chain = [arm]
        while (parent := self.parent(chain[0])) is not None:
            chain.insert(0, parent)
        tasks = [self.trained_on(stage) for stage in chain[1:]]
        if len(tasks) < 2:
            return {}
        losses = [run.read_json(f"evaluation/{stage}.json") for stage in chain[:-1]]
        losses.append({f"loss/{name}": found["loss"] for name, found in by_name.items()})
        table = np.array(
            [[np.mean([row[f"loss/{n}"] for n in names], 0) for names in tasks] for row in losses]
        )
        found = [transfer.continual(table[..., i]) for i in range(len(self.seeds))]
        return {f"sequence_{name}": [row[name] for row in found] for name in found[0]}

    def dynamic(self, arm, params, groups) -> dict:
        """Dynamic evaluation, at the rate that the training domains' valid texts prefer."""
        measure = self.meter(arm, bydomain.dynamic_meter)

        def over(names, split, rate):
            return np.mean(
                [measure(params, self.source.measured(name, split), rate) for name in names], 0
            )

        rates = self.settings.dynamic
        valid = [over(groups["seen"], "valid", rate).mean() for rate in rates]
        # A rate that diverges has no loss; 0 changes nothing.
        rate = rates[np.nanargmin(valid)] if np.isfinite(valid).any() else 0.0
        found = {"dynamic_rate": np.full(len(self.seeds), rate)}
        for group in ("seen", "unseen"):
            if groups[group]:
                found[f"dynamic_{group}"] = over(groups[group], "test", rate)
        return found

    def few_shot(self, measure, params, names) -> np.ndarray:
        """Bits of an example behind k others of its domain, [seeds, shots]."""
        totals = np.zeros((len(self.seeds), len(self.shots)))
        for name in names:
            cases = domains.examples(
                self.source, name, self.shots, self.settings.example, 64, seed=0
            )
            for i, k in enumerate(self.shots):
                totals[:, i] += bydomain.losses(measure, params, cases[k])["loss"]
        return totals / len(names)

    def generated(self, arm, params) -> dict:
        """The first seed's continuations of each domain's test text, as text."""
        size = self.source.length // 4
        prompts = np.stack(
            [self.source.measured(name, "test").windows[0][:size] for name in self.source.names]
        )
        first = jax.tree.map(lambda leaf: leaf[0], params)
        length = min(self.source.length, size + self.settings.samples)
        model = self.model(arm)
        whole = length if model.step else self.source.length
        made = bydomain.generate(model, first, prompts, whole, jax.random.key(0))[:, :length]
        return {
            "prompts": np.array([self.source.decode(row) for row in prompts]),
            "generated": np.array([self.source.decode(row[size:]) for row in made]),
        }

    def gaps(self, found: dict) -> dict[str, dict]:
        """What it costs not to have seen a domain, at equal tokens (Gulrajani & Lopez-Paz 2021).

        Of arms from scratch that differ in their domains alone. gap, worst_gap: L(D - d -> d) -
        L(D -> d) for the fewest further domains d that another arm was trained on, mean and most.
        specialist_gap: L(D - d -> d) - L({d} -> d), mean over the d that an arm alone is trained
        on. {arm: {measure: [seeds]}}, in bits a unit.
        """

        def alike(arm):
            return {key: value for key, value in self.arms[arm].items() if key != "domains"}

        made = {}
        for arm in [arm for arm in self.arms if not self.arms[arm]["from"]]:
            own, row = set(self.trained_on(arm)), {}
            others = {
                other: set(self.trained_on(other))
                for other in self.arms
                if other != arm and alike(other) == alike(arm)
            }
            wider = [other for other in others if others[other] > own]
            more = min(wider, key=lambda other: len(others[other]), default="")
            pairs = {"gap": [(name, more) for name in sorted(others.get(more, own) - own)]}
            pairs["specialist_gap"] = [
                (*names, other)
                for other, names in others.items()
                if len(names) == 1 and not names <= own
            ]
            for measure, cases in pairs.items():
                if cases:
                    lost = [
                        np.subtract(found[arm][f"loss/{name}"], found[other][f"loss/{name}"])
                        for name, other in cases
                    ]
                    row[measure] = np.mean(lost, 0).tolist()
                    if measure == "gap":
                        row["worst_gap"] = np.max(lost, 0).tolist()
            made[arm] = row
        return made

    def ngram(self, arm):
        """Counted on as many tokens as the networks of this run are trained on."""
        recipe, names = self.arms[arm], self.trained_on(arm)
        budget = recipe["steps"] * self.settings.batch_size * self.source.length // len(names)
        documents = []
        for name in names:
            left = min(budget, recipe["limit"] or budget)
            for sequence in self.source.sequences(name):
                if left <= 0:
                    break
                documents.append(np.asarray(sequence[: left + 1], np.int32))
                left -= len(documents[-1]) - 1
        model = ngram.fit(
            documents,
            order=recipe["ngram_order"],
            vocabulary=self.source.vocabulary,
            smoothing=recipe["ngram_smoothing"],
        )
        return bydomain.ngram_meter(model, len(self.seeds))

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
    return attention.build(
        recipe["attention"],
        length,
        recipe["width"] // recipe["heads"],
        causal=True,
        window=recipe["window"],
        dtype=dtype,
    )


def build(recipe: dict, vocabulary: int, length: int, dtype: str) -> transformer.Model:
    """The network of a recipe. Raises UsageError where its sizes contradict each other."""
    shape = {"vocabulary": vocabulary, "width": recipe["width"], "depth": recipe["depth"]}
    shape["dtype"] = jnp.dtype(dtype)
    if recipe["model"] != "transformer":
        return recurrent.build(recipe["model"], **shape)
    if recipe["attention"] in attention.NOT_CAUSAL:
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
