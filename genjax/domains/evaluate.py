"""What an arm of a study carries over to domains that it never saw: measured, not trained."""

import jax
import numpy as np

from genjax.core import variants
from genjax.domains import data
from genjax.domains.training import Study
from genjax.lm import ngram, per_domain, transfer


def measure(study: Study, run, arm, params):
    """({measure: [seeds]}, arrays of the pictures) of a trained arm."""
    source, new, old = study.source, study.trained_on(arm), study.old(arm)
    meter = _ngram(study, arm) if params is None else study.meter(arm, per_domain.meter)
    unseen = [name for name in source.held_out if name not in [*new, *old]]
    by_name, lines = {}, {}
    for name in source.names:
        test = source.measured(name, "test")
        by_name[name] = per_domain.losses(meter, params, test)
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
            # Mean, low and high over documents, the seeds' mean of each; a domain counts once.
            parts = [by_name[name]["documents"].mean(0) for name in names]
            sizes = [by_name[name]["sizes"] for name in names]
            bits = np.concatenate([part / size for part, size in zip(parts, sizes, strict=True)])
            shares = np.concatenate([size / size.sum() for size in sizes])
            row[f"bootstrap_{group}"] = transfer.bootstrap(bits, shares)
        if lines:
            for line in ("known", "family", "seen"):
                row[f"{group}_{line}_line"] = np.full(
                    len(study.seeds), np.mean([lines[name][line].mean() for name in names])
                )
            row[f"excess_{group}"] = row[group] - row[f"{group}_known_line"]
    if unseen:
        row["ood_id_ratio"] = row["unseen"] / row["seen"]
    if lines and unseen:
        row["score"] = transfer.composition_score(
            row["unseen"], row["unseen_family_line"], row["unseen_seen_line"]
        )
    if study.arms[arm]["dro"]:
        found = run.read_json(f"mixtures/{arm}.json")
        row |= {f"weight/{name}": weights for name, weights in found.items()}
    valid = [per_domain.losses(meter, params, source.measured(n, "valid"))["loss"] for n in new]
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
    if study.parent(arm):
        row |= _forgotten(study, run, arm, params, by_name)
    if study.shots and unseen and params is not None and not study.parent(arm):
        few = _few_shot(study, meter, params, unseen)
        arrays["few_shot"] = few
        row["few_shot_gain"] = few[:, 0] - few[:, -1]
        row["few_shot_area"] = np.array(
            [transfer.few_shot_area(np.array(study.shots, float), values) for values in few]
        )
    if study.settings.dynamic and params is not None and not study.parent(arm):
        row |= _dynamic(study, arm, params, groups)
    if params is not None and study.settings.samples:
        arrays |= _generated(study, arm, params)
    return {name: np.asarray(v, float).tolist() for name, v in row.items()}, arrays


def _forgotten(study: Study, run, arm, params, by_name) -> dict:
    """What the old domains lost, and the new gained, against the arm it started from."""
    before = run.read_json(f"evaluation/{study.parent(arm)}.json")
    new, old = study.trained_on(arm), study.old(arm)
    gain = [np.subtract(before[f"loss/{n}"], by_name[n]["loss"]) for n in new]
    found = {"gain": np.mean(gain, 0)}
    if old:
        found |= _overlap(study, new, old)
        earlier = np.array([before[f"loss/{n}"] for n in old])
        now = np.array([by_name[n]["loss"] for n in old])
        found["forgetting"] = [
            transfer.forgetting(a, b)[1] for a, b in zip(earlier.T, now.T, strict=True)
        ]
        meter = study.meter(arm, per_domain.drift_meter)
        base, drift = study.base(run, arm), []
        for name in old:
            valid = study.source.measured(name, "valid")
            bits = meter((base, params), valid.windows[: study.settings.watched])
            drift.append(bits.mean((1, 2)) * valid.tokens_per_unit)
        found["drift"] = np.mean(drift, 0)
    return found | _sequence(study, run, arm, by_name)


def _sequence(study: Study, run, arm, by_name) -> dict:
    """GEM's three measures, where the arm is the end of a sequence of adaptations."""
    chain = [arm]
    while (parent := study.parent(chain[0])) is not None:
        chain.insert(0, parent)
    tasks = [study.trained_on(stage) for stage in chain[1:]]
    if len(tasks) < 2:
        return {}
    losses = [run.read_json(f"evaluation/{stage}.json") for stage in chain[:-1]]
    losses.append({f"loss/{name}": found["loss"] for name, found in by_name.items()})
    table = np.array(
        [[np.mean([row[f"loss/{n}"] for n in names], 0) for names in tasks] for row in losses]
    )
    found = [transfer.continual(table[..., i]) for i in range(len(study.seeds))]
    return {f"sequence_{name}": [row[name] for row in found] for name in found[0]}


def _dynamic(study: Study, arm, params, groups) -> dict:
    """Dynamic evaluation, at the rate that the training domains' valid texts prefer."""
    meter = study.meter(arm, per_domain.dynamic_meter)

    def over(names, split, rate):
        return np.mean(
            [meter(params, study.source.measured(name, split), rate) for name in names], 0
        )

    rates = study.settings.dynamic
    valid = [over(groups["seen"], "valid", rate).mean() for rate in rates]
    # A rate that diverges has no loss; 0 changes nothing.
    rate = rates[np.nanargmin(valid)] if np.isfinite(valid).any() else 0.0
    found = {"dynamic_rate": np.full(len(study.seeds), rate)}
    for group in ("seen", "unseen"):
        if groups[group]:
            found[f"dynamic_{group}"] = over(groups[group], "test", rate)
    return found


def _few_shot(study: Study, meter, params, names) -> np.ndarray:
    """Bits of an example behind k others of its domain, [seeds, shots]."""
    totals = np.zeros((len(study.seeds), len(study.shots)))
    for name in names:
        cases = data.examples(study.source, name, study.shots, study.settings.example, 64, seed=0)
        for i, k in enumerate(study.shots):
            totals[:, i] += per_domain.losses(meter, params, cases[k])["loss"]
    return totals / len(names)


def _generated(study: Study, arm, params) -> dict:
    """The first seed's continuations of each domain's test text, as text."""
    size = study.source.length // 4
    prompts = np.stack(
        [study.source.measured(name, "test").windows[0][:size] for name in study.source.names]
    )
    first = jax.tree.map(lambda leaf: leaf[0], params)
    length = min(study.source.length, size + study.settings.samples)
    model = study.model(arm)
    whole = length if model.step else study.source.length
    made = per_domain.generate(model, first, prompts, whole, jax.random.key(0))[:, :length]
    return {
        "prompts": np.array([study.source.decode(row) for row in prompts]),
        "generated": np.array([study.source.decode(row[size:]) for row in made]),
    }


def gaps(study: Study, found: dict) -> dict[str, dict]:
    """What it costs not to have seen a domain, at equal tokens (Gulrajani & Lopez-Paz 2021).

    Of arms from scratch that differ in their domains alone. gap, worst_gap: L(D - d -> d) -
    L(D -> d) for the fewest further domains d that another arm was trained on, mean and most.
    specialist_gap: L(D - d -> d) - L({d} -> d), mean over the d that an arm alone is trained
    on. overlap: of the one domain left out, where it is one. {arm: {measure: [seeds]}}, in bits a
    unit.
    """

    scratch = {arm: recipe for arm, recipe in study.arms.items() if not recipe["from"]}
    peers = {arm: group for group in variants.alike(scratch, "domains") for arm in group}
    made = {}
    for arm in scratch:
        own, row = set(study.trained_on(arm)), {}
        others = {other: set(study.trained_on(other)) for other in peers[arm] if other != arm}
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
                    if len(cases) == 1:
                        row |= _overlap(study, [cases[0][0]], own)
        made[arm] = row
    return made


def selections(study: Study, found: dict) -> list[tuple[list[str], str, str]]:
    """(arms to choose from, the one to take, the oracle's), seeds averaged.

    Of one start, the same domains and as many steps. Training-domain validation, and test-domain
    validation beside it, which is no valid choice (Gulrajani & Lopez-Paz 2021, section 3): the
    losses on `valid` and on `unseen`.
    """
    groups = {}
    for arm, row in found.items():
        recipe = study.arms[arm]
        losses = [np.array(row.get(name, np.nan), float).mean() for name in ("valid", "unseen")]
        if np.isfinite(losses).all() and not recipe["limit"] and not recipe["dro"]:
            key = (recipe["from"], recipe["steps"], *sorted(study.trained_on(arm)))
            groups.setdefault(key, {})[arm] = losses
    return [
        (list(group), *(min(group, key=lambda a: group[a][i]) for i in (0, 1)))
        for group in groups.values()
        if len(group) > 1
    ]


def _overlap(study: Study, names, known) -> dict:
    """How near the names are to what is known, where words can tell; alike for all seeds."""
    if study.source.overlap is None:
        return {}
    shares = [study.source.overlap(name, tuple(sorted(known))) for name in names]
    return {"overlap": [float(np.mean(shares))] * len(study.seeds)}


def _ngram(study: Study, arm):
    """Counted on as many tokens as the networks of this run are trained on."""
    recipe, names = study.arms[arm], study.trained_on(arm)
    budget = recipe["steps"] * study.settings.batch_size * study.source.length // len(names)
    documents = []
    for name in names:
        left = min(budget, recipe["limit"] or budget)
        for sequence in study.source.sequences(name):
            if left <= 0:
                break
            documents.append(np.asarray(sequence[: left + 1], np.int32))
            left -= len(documents[-1]) - 1
    model = ngram.fit(
        documents,
        order=recipe["ngram_order"],
        vocabulary=study.source.vocabulary,
        smoothing=recipe["ngram_smoothing"],
    )
    return per_domain.ngram_meter(model, len(study.seeds))
