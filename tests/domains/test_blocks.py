"""Seeds added in blocks: what no network made is joined as well."""

import json

from genjax.domains.config import Config
from genjax.domains.experiment import evaluations


def test_floors_and_ngrams_of_all_blocks_are_joined(tmp_path):
    config = Config(seeds=2, max_seeds=4, variants={"net": {}, "counts": {"model": "ngram"}})
    for first, values in ((0, [1.0, 2.0]), (10, [3.0, 4.0]), (2, [5.0, 6.0])):
        place = tmp_path / "blocks" / str(first) / "evaluation"
        place.mkdir(parents=True)
        (place / "baselines.json").write_text(json.dumps({"cache/unseen": values}))
        (place / "counts.json").write_text(json.dumps({"unseen": [-v for v in values]}))
    # What a network made was joined by its rows.
    net, first = {"unseen": [7.0] * 6}, {"unseen": [-1.0, -2.0]}
    files = {"folder": tmp_path, "evaluation": {"net": net, "counts": first, "baselines": {}}}
    found = evaluations(files, config.arms())
    assert found["baselines"] == {"cache/unseen": [1.0, 2.0, 5.0, 6.0, 3.0, 4.0]}
    assert found["counts"] == {"unseen": [-1.0, -2.0, -5.0, -6.0, -3.0, -4.0]}
    assert found["net"] == net
    alone = {"folder": tmp_path / "blocks" / "0", "evaluation": {"net": net, "baselines": {}}}
    assert evaluations(alone, config.arms()) == alone["evaluation"]
