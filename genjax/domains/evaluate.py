"""What an arm of a study carries over to domains that it never saw: measured, not trained."""

import jax
import numpy as np

from genjax.data.text import Measured
from genjax.domains import data, floors, training
from genjax.domains.job import Job
from genjax.domains.names import parent, select
from genjax.lm import ngram, per_domain, transfer

# Examples an unseen domain that the few-shot curve is measured on.
CASES = 64
# Windows of training that are looked at for text of unseen domains, and those at a time: a grid may
# have thousands of domains.
LOOKED_AT, TOGETHER = 256, 32


def measure(job: Job, folder, name: str, params) -> tuple[dict, dict]:
    """({measure: [seeds]}, arrays of the pictures) of a trained arm.

    params: leaves [seeds, ...]; None for an n-gram. Losses are bits a unit of the source.
    """
    source, new, old = job.source, job.trained_on[name], job.trained_before[name]
    meter = counted(job, name) if params is None else job.meter(name, per_domain.meter)
    groups = {
        "seen": [*new, *old],
        "new": new if old else [],
        "old": old,
        "unseen": [domain for domain in source.held_out if domain not in [*new, *old]],
    }
    cases = [(domain, "test") for domain in source.names] + [(domain, "valid") for domain in new]
    found = per_domain.losses(meter, params, [job.measured(*case) for case in cases])
    by_name = dict(zip(source.names, found, strict=False))
    valid = found[len(by_name) :]
    lines = {domain: job.lines(domain, groups["seen"]) for domain in source.names}
    lines = lines if source.lines else {}
    row = group_losses(groups, by_name, lines)
    if lines and groups["unseen"]:
        ends = folder.read_json("evaluation/baselines.json")
        row["score"] = scored(row["unseen"], ends)
    if job.arms[name].dro:
        mixture = folder.read_json(f"mixtures/{name}.json")
        row |= {f"weight/{domain}": weights for domain, weights in mixture.items()}
    row["valid"] = np.mean([one["loss"] for one in valid], 0)
    row |= {f"loss/{domain}": one["loss"] for domain, one in by_name.items()}
    arrays = pictured(source.names, groups, by_name, lines)

    scratch = parent(job.arms, name) is None
    if not scratch:
        row |= forgotten(job, folder, name, params, by_name)
    if job.config.shots and groups["unseen"] and params is not None and scratch:
        shots = np.array(job.config.shots, float)
        few, strange = few_shot(job, meter, params, groups["unseen"])
        arrays["few_shot"] = few
        row["few_shot_gain"] = few[:, 0] - few[:, -1]
        if strange is not None:
            row["few_shot_strange"] = few[:, 0] - strange
        row["few_shot_area"] = np.array([transfer.few_shot_area(shots, values) for values in few])
    if source.log_probs and groups["unseen"] and scratch and not {*new} & {*source.far}:
        row["training_margin"] = training_margin(job, name, groups["unseen"])
        row["unigram_unseen"] = unigram_unseen(job, name, groups["unseen"])
    if job.config.dynamic and params is not None and scratch:
        row |= dynamic(job, name, params, groups)
    if params is not None and job.config.samples:
        arrays |= generated(job, name, params)
    return {key: np.asarray(v, float).tolist() for key, v in row.items()}, arrays


def training_margin(job: Job, name: str, unseen: list[str]) -> np.ndarray:
    """By how many bits a token what an arm is trained on is its own domains', [seeds].

    Of the first LOOKED_AT windows that training draws, the least: log-likelihood under the
    likeliest domain that it names, over that under the likeliest unseen one. Exact, by the grid;
    where text of an unseen domain leaks into training it is below 0.
    """
    steps = -(-LOOKED_AT // job.config.batch_size)
    drawn = job.windows(name)(0, steps)[..., :-1].swapaxes(0, 1)
    found = []
    for source, windows in zip(job.sources, drawn, strict=True):
        assert source.log_probs is not None  # Of a grid alone it is asked.
        rows = windows.reshape(-1, windows.shape[-1])
        least = np.inf
        for part in np.array_split(rows, -(-len(rows) // TOGETHER)):
            own, other = (
                source.log_probs(names, part).mean(-1).max(0)
                for names in (job.trained_on[name], unseen)
            )
            least = min(least, (own - other).min())
        found.append(least)
    return np.array(found)


def unigram_unseen(job: Job, name: str, unseen: list[str]) -> np.ndarray:
    """Loss on unseen domains of a unigram of the arm's own training domains, [seeds], in bits."""
    found = []
    for source in job.sources:
        documents = [one for domain in job.trained_on[name] for one in source.sequences(domain)]
        counted = ngram.fit(documents, order=1, vocabulary=source.vocabulary, smoothing="absolute")
        tests = [source.measured(domain, "test").windows for domain in unseen]
        found.append(-np.mean([counted.log2_probs(w) for test in tests for w in test]))
    return np.array(found)


def group_losses(groups: dict, by_name: dict, lines: dict) -> dict:
    """Losses, calibration and bootstraps of each group; excess where lines are known."""
    row = {}
    for group, names in groups.items():
        if not names:
            continue
        loss = np.stack([by_name[name]["loss"] for name in names])
        row[group] = loss.mean(0)
        if group in ("seen", "unseen"):
            row[f"worst_{group}"] = loss.max(0)
            row[f"ece_{group}"] = np.mean([by_name[name]["ece"] for name in names], 0)
            if not lines:  # Of a grid each seed has documents of its own.
                row[f"bootstrap_{group}"] = over_documents([by_name[name] for name in names])
        if lines:
            for line in ("known", "family", "seen"):
                row[f"{group}_{line}_line"] = line_of(lines, names, line)
            row[f"excess_{group}"] = row[group] - row[f"{group}_known_line"]
    if groups["unseen"]:
        row["ood_id_ratio"] = row["unseen"] / row["seen"]
    return row


def over_documents(found: list[dict]) -> tuple[float, float, float]:
    """Mean, low and high over documents, the seeds' mean of each; a domain counts once."""
    parts, sizes = [one["documents"].mean(0) for one in found], [one["sizes"] for one in found]
    bits = np.concatenate([part / size for part, size in zip(parts, sizes, strict=True)])
    return transfer.bootstrap(bits, np.concatenate([size / size.sum() for size in sizes]))


def line_of(lines: dict, names: list[str], line: str) -> np.ndarray:
    """The mean over domains of an exact line, bits a unit [seeds]."""
    return np.mean([lines[name][line].mean((1, 2)) for name in names], 0)


def scored(loss, ends: dict) -> np.ndarray:
    """Composition scores [seeds] of losses on the unseen domains: 0 the best floor, 1 `family`."""
    best = np.min([ends[f"{name}/unseen"] for name in floors.NAMES], 0)
    family = np.asarray(ends["family/unseen"])
    return np.asarray(transfer.composition_score(np.asarray(loss), family, best))


def baselines(job: Job) -> dict[str, list[float]]:
    """{row/measure: [seeds]} of what no arm made: floors counted on the seen domains, exact lines.

    Of the same documents as every arm's. memory: the line `seen` of all domains that are not held
    out.
    """
    source, found = job.source, {}
    seen = select(source, "seen")
    groups = {"seen": seen, "unseen": source.held_out}
    made = {id(one): counted_floors(one, seen) for one in job.sources}
    own = [made[id(one)] for one in job.sources]
    for group, names in groups.items():
        losses = {name: [] for name in floors.NAMES}
        for domain in names:
            tests = {id(one): one.measured(domain, "test") for one in job.sources}
            bits = {
                key: {
                    n: b[tests[key].scored].sum() for n, b in made[key].bits(test.windows).items()
                }
                for key, test in tests.items()
            }
            for name, values in losses.items():
                values.append([bits[id(s)][name] / tests[id(s)].units for s in job.sources])
        found |= {f"{n}/{group}": np.mean(v, 0) for n, v in losses.items() if v}
        if source.lines and names:
            lines = {domain: job.lines(domain, seen) for domain in names}
            for row, line in (("memory", "seen"), ("family", "family"), ("known", "known")):
                found[f"{row}/{group}"] = line_of(lines, names, line)
    if "family/unseen" in found:
        for row in (*floors.NAMES, "memory", "family", "known"):
            found[f"{row}/score"] = scored(found[f"{row}/unseen"], found)
    if job.config.shots and source.held_out:
        found["cache/few_shot_gain"] = few_shot_of_cache(job, own)
    return {path: np.asarray(values, float).tolist() for path, values in found.items()}


def counted_floors(source: data.Source, seen: list[str]) -> floors.Floors:
    """The floors of one source, from its seen domains' training and valid text."""
    documents = [document for name in seen for document in source.sequences(name)]
    valid = [source.measured(name, "valid") for name in seen]
    return floors.fit(documents, valid, source.vocabulary)


def few_shot_of_cache(job: Job, own: list[floors.Floors]) -> list[float]:
    """What the most examples of an unseen domain gain a cache, bits a unit [seeds]."""
    ends, size = [job.config.shots[0], job.config.shots[-1]], job.config.example
    gains = []
    for source, made in zip(job.sources, own, strict=True):
        lost = []
        for domain in source.held_out:
            cases = data.examples(source, domain, ends, size, CASES, seed=0)
            lost.append([floors.few(made, cases[k]) for k in ends])
        none, most = np.mean(lost, 0)
        gains.append(none - most)
    return gains


def pictured(names: list[str], groups: dict, by_name: dict, lines: dict) -> dict:
    """Losses by domain [seeds, domains] and by position [seeds, length], and the lines beside."""
    arrays = {"losses": np.stack([by_name[name]["loss"] for name in names], -1)}
    if lines:
        for line in ("known", "family"):
            arrays[line] = np.array([lines[name][line].mean() for name in names])
    for group in ("seen", "unseen"):
        own = groups[group]
        if not own:
            continue
        arrays[f"position_{group}"] = np.mean([by_name[n]["position"] for n in own], 0)
        if lines:
            arrays[f"position_{group}_lines"] = np.stack(
                [
                    np.mean([lines[n][line].mean((0, 1)) for n in own], 0)
                    for line in ("known", "family", "seen")
                ]
            )
    return arrays


def forgotten(job: Job, folder, name: str, params, by_name: dict) -> dict:
    """What the old domains lost, and the new gained, against the arm it started from."""
    origin = parent(job.arms, name)
    assert origin is not None  # Of such arms alone it is asked.
    before = folder.read_json(f"evaluation/{origin}.json")
    new, old = job.trained_on[name], job.trained_before[name]
    gain = [np.subtract(before[f"loss/{n}"], by_name[n]["loss"]) for n in new]
    found = {"gain": np.mean(gain, 0)}
    if old:
        if job.source.overlap:
            # How near the new domains are to what is known, where words can tell.
            shares = [job.source.overlap(n, tuple(sorted(old))) for n in new]
            found["overlap"] = [float(np.mean(shares))] * job.config.seeds
        earlier = np.array([before[f"loss/{n}"] for n in old])
        now = np.array([by_name[n]["loss"] for n in old])
        found["forgetting"] = [
            transfer.forgetting(a, b)[1] for a, b in zip(earlier.T, now.T, strict=True)
        ]
        meter = job.meter(name, per_domain.drift_meter)
        base = training.started_from(job, folder, name, "from", origin)
        valid = [job.measured(domain, "valid") for domain in old]
        watched = [part.windows[..., : job.config.watched, :] for part in valid]
        bits = per_domain.together(meter, (base, params), watched)
        found["drift"] = np.mean(
            [b.mean((1, 2)) * v.tokens_per_unit for (b,), v in zip(bits, valid, strict=True)], 0
        )
    return found | sequence(job, folder, name, by_name)


def sequence(job: Job, folder, name: str, by_name: dict) -> dict:
    """GEM's three measures, where the arm is the end of a sequence of adaptations."""
    chain = [name]
    while (origin := parent(job.arms, chain[0])) is not None:
        chain.insert(0, origin)
    tasks = [job.trained_on[stage] for stage in chain[1:]]
    if len(tasks) < 2:
        return {}
    losses = [folder.read_json(f"evaluation/{stage}.json") for stage in chain[:-1]]
    losses.append({f"loss/{domain}": found["loss"] for domain, found in by_name.items()})
    table = np.array(
        [[np.mean([row[f"loss/{n}"] for n in names], 0) for names in tasks] for row in losses]
    )
    found = [transfer.continual(table[..., i]) for i in range(job.config.seeds)]
    return {f"sequence_{part}": [row[part] for row in found] for part in found[0]}


def dynamic(job: Job, name: str, params, groups: dict) -> dict:
    """Dynamic evaluation, at the rate that the training domains' valid texts prefer."""
    meter = job.meter(name, per_domain.dynamic_meter)

    def over(names, split, rate):
        return np.mean([meter(params, job.measured(domain, split), rate) for domain in names], 0)

    rates = job.config.dynamic
    valid = [over(groups["seen"], "valid", rate).mean() for rate in rates]
    # A rate that diverges has no loss; 0 changes nothing.
    rate = rates[np.nanargmin(valid)] if np.isfinite(valid).any() else 0.0
    found = {"dynamic_rate": np.full(job.config.seeds, rate)}
    for group in ("seen", "unseen"):
        if groups[group]:
            found[f"dynamic_{group}"] = over(groups[group], "test", rate)
    return found


def few_shot(job: Job, meter, params, names: list[str]) -> tuple[np.ndarray, np.ndarray | None]:
    """Bits of an example behind k others of its domain [seeds, shots], and behind strange ones.

    Strange: the most examples, of the next unseen domain; None where there is one alone.
    """
    shots, size = list(job.config.shots), job.config.example
    totals, strange = np.zeros((job.config.seeds, len(shots))), np.zeros(job.config.seeds)
    made = {domain: examples(job, domain, shots, size) for domain in names}
    for i, domain in enumerate(names):
        cases = made[domain]
        most = cases[shots[-1]]
        windows = most.windows.copy()
        shown = slice(1, shots[-1] * size + 1)
        windows[..., shown] = made[names[i - 1]][shots[-1]].windows[..., shown]
        every = [*(cases[k] for k in shots), most._replace(windows=windows)]
        *own, other = (one["loss"] for one in per_domain.losses(meter, params, every))
        totals += np.stack(own, -1)
        strange += other
    return totals / len(names), strange / len(names) if len(names) > 1 else None


def examples(job: Job, domain: str, shots: list[int], size: int) -> dict[int, Measured]:
    """`data.examples` of every seed's source."""
    made = {id(s): data.examples(s, domain, shots, size, CASES, seed=0) for s in job.sources}
    return {k: data.by_seed([made[id(source)][k] for source in job.sources]) for k in shots}


def generated(job: Job, name: str, params) -> dict:
    """The first seed's continuations of each domain's test text, as text."""
    source = job.source
    size = source.length // 4
    prompts = np.stack(
        [source.measured(domain, "test").windows[0][:size] for domain in source.names]
    )
    first = jax.tree.map(lambda leaf: leaf[0], params)
    length = min(source.length, size + job.config.samples)
    network = job.network(name)
    whole = length if network.step else source.length
    made = per_domain.generate(network, first, prompts, whole, jax.random.key(0))[:, :length]
    return {
        "prompts": np.array([source.decode(row) for row in prompts]),
        "generated": np.array([source.decode(row[size:]) for row in made]),
    }


def counted(job: Job, name: str):
    """An n-gram's meter, counted on as many tokens as the networks of this run are trained on."""
    made = {id(source): counted_ngram(job, name, source) for source in job.sources}
    return per_domain.ngram_meter([made[id(source)] for source in job.sources])


def counted_ngram(job: Job, name: str, source: data.Source) -> ngram.NGram:
    """The n-gram of one source."""
    arm, names = job.arms[name], job.trained_on[name]
    budget = arm.steps * job.config.batch_size * source.length // len(names)
    documents = []
    for domain in names:
        left = min(budget, arm.limit or budget)
        for tokens in source.sequences(domain):
            if left <= 0:
                break
            documents.append(np.asarray(tokens[: left + 1], np.int32))
            left -= len(documents[-1]) - 1
    return ngram.fit(
        documents,
        order=arm.ngram_order,
        vocabulary=source.vocabulary,
        smoothing=arm.ngram_smoothing,
    )
