"""What an arm of a study carries over to domains that it never saw: measured, not trained."""

import jax
import numpy as np

from genjax.domains import arms, data, training
from genjax.domains.job import Job
from genjax.lm import ngram, per_domain, transfer

# Examples an unseen domain that the few-shot curve is measured on.
CASES = 64


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
    by_name, lines = {}, {}
    for domain in source.names:
        test = source.measured(domain, "test")
        by_name[domain] = per_domain.losses(meter, params, test)
        if source.lines:
            lines[domain] = source.lines(domain, groups["seen"])
    row = group_losses(groups, by_name, lines, job.config.seeds)
    if job.arms[name].dro:
        found = folder.read_json(f"mixtures/{name}.json")
        row |= {f"weight/{domain}": weights for domain, weights in found.items()}
    valid = [per_domain.losses(meter, params, source.measured(n, "valid"))["loss"] for n in new]
    row["valid"] = np.mean(valid, 0)
    row |= {f"loss/{domain}": found["loss"] for domain, found in by_name.items()}
    arrays = pictured(source.names, groups, by_name, lines)

    scratch = arms.parent(job.arms, name) is None
    if not scratch:
        row |= forgotten(job, folder, name, params, by_name)
    if job.config.shots and groups["unseen"] and params is not None and scratch:
        shots = np.array(job.config.shots, float)
        few = few_shot(job, meter, params, groups["unseen"])
        arrays["few_shot"] = few
        row["few_shot_gain"] = few[:, 0] - few[:, -1]
        row["few_shot_area"] = np.array([transfer.few_shot_area(shots, values) for values in few])
    if job.config.dynamic and params is not None and scratch:
        row |= dynamic(job, name, params, groups)
    if params is not None and job.config.samples:
        arrays |= generated(job, name, params)
    return {key: np.asarray(v, float).tolist() for key, v in row.items()}, arrays


def group_losses(groups: dict, by_name: dict, lines: dict, seeds: int) -> dict:
    """Losses, calibration and bootstraps of each group; excess and score where lines are known."""
    row = {}
    for group, names in groups.items():
        if not names:
            continue
        loss = np.stack([by_name[name]["loss"] for name in names])
        row[group] = loss.mean(0)
        if group in ("seen", "unseen"):
            row[f"worst_{group}"] = loss.max(0)
            row[f"ece_{group}"] = np.mean([by_name[name]["ece"] for name in names], 0)
            # Mean, low and high over documents, the seeds' mean of each; a domain counts once.
            parts = [by_name[name]["documents"].mean(0) for name in names]
            sizes = [by_name[name]["sizes"] for name in names]
            bits = np.concatenate([part / size for part, size in zip(parts, sizes, strict=True)])
            shares = np.concatenate([size / size.sum() for size in sizes])
            row[f"bootstrap_{group}"] = transfer.bootstrap(bits, shares)
        if lines:
            for line in ("known", "family", "seen"):
                row[f"{group}_{line}_line"] = np.full(
                    seeds, np.mean([lines[name][line].mean() for name in names])
                )
            row[f"excess_{group}"] = row[group] - row[f"{group}_known_line"]
    if groups["unseen"]:
        row["ood_id_ratio"] = row["unseen"] / row["seen"]
    if lines and groups["unseen"]:
        row["score"] = transfer.composition_score(
            row["unseen"], row["unseen_family_line"], row["unseen_seen_line"]
        )
    return row


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
                    np.mean([lines[n][line].mean(0) for n in own], 0)
                    for line in ("known", "family", "seen")
                ]
            )
    return arrays


def forgotten(job: Job, folder, name: str, params, by_name: dict) -> dict:
    """What the old domains lost, and the new gained, against the arm it started from."""
    origin = arms.parent(job.arms, name)
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
        base, drift = training.started_from(job, folder, name, "from", origin), []
        for domain in old:
            valid = job.source.measured(domain, "valid")
            bits = meter((base, params), valid.windows[: job.config.watched])
            drift.append(bits.mean((1, 2)) * valid.tokens_per_unit)
        found["drift"] = np.mean(drift, 0)
    return found | sequence(job, folder, name, by_name)


def sequence(job: Job, folder, name: str, by_name: dict) -> dict:
    """GEM's three measures, where the arm is the end of a sequence of adaptations."""
    chain = [name]
    while (origin := arms.parent(job.arms, chain[0])) is not None:
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
        return np.mean(
            [meter(params, job.source.measured(domain, split), rate) for domain in names], 0
        )

    rates = job.config.dynamic
    valid = [over(groups["seen"], "valid", rate).mean() for rate in rates]
    # A rate that diverges has no loss; 0 changes nothing.
    rate = rates[np.nanargmin(valid)] if np.isfinite(valid).any() else 0.0
    found = {"dynamic_rate": np.full(job.config.seeds, rate)}
    for group in ("seen", "unseen"):
        if groups[group]:
            found[f"dynamic_{group}"] = over(groups[group], "test", rate)
    return found


def few_shot(job: Job, meter, params, names: list[str]) -> np.ndarray:
    """Bits of an example behind k others of its domain, [seeds, shots]."""
    shots, size = list(job.config.shots), job.config.example
    totals = np.zeros((job.config.seeds, len(shots)))
    for domain in names:
        cases = data.examples(job.source, domain, shots, size, CASES, seed=0)
        for i, k in enumerate(shots):
            totals[:, i] += per_domain.losses(meter, params, cases[k])["loss"]
    return totals / len(names)


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
    arm, source, names = job.arms[name], job.source, job.trained_on[name]
    budget = arm.steps * job.config.batch_size * source.length // len(names)
    documents = []
    for domain in names:
        left = min(budget, arm.limit or budget)
        for tokens in source.sequences(domain):
            if left <= 0:
                break
            documents.append(np.asarray(tokens[: left + 1], np.int32))
            left -= len(documents[-1]) - 1
    model = ngram.fit(
        documents,
        order=arm.ngram_order,
        vocabulary=source.vocabulary,
        smoothing=arm.ngram_smoothing,
    )
    return per_domain.ngram_meter(model, job.config.seeds)
