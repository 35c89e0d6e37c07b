"""A model as a folder of its own: what is refused, what the card says, what is uploaded."""

import json
import shutil
import subprocess
import sys
import types
from importlib.machinery import ModuleSpec

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

import genjax
from genjax import export as exports
from genjax.core.errors import UsageError
from genjax.export import Exported, export, flat, nested
from genjax.run import Run
from genjax_cli import export as command

PARAMS = {"a": {"w": jnp.arange(3.0), "none": {}}, "b": jnp.float32(0.1)}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run of the VAE room with parameters that nobody trained."""
    config = genjax.vae.Config(variants={"vae": {}, "ae": {"model": "ae"}}, seeds=2)
    folder = tmp_path / "run"
    folder.mkdir()
    asked = {"version": 2, "experiment": "vae", "room": "vae"}
    asked["config"] = exports.configs.to_json(config)
    (folder / "config.json").write_text(json.dumps(asked))
    (folder / "data.json").write_text(json.dumps({"image_shape": [8, 8, 1]}))
    summary = {
        "versions": {"jax": "1.2"}, "commit": "c0ffee", "data": "digits/none", "seeds": [0, 1],
        "metrics": {
            "vae/mse": {"mean": 0.5, "low": 0.25, "high": 1.0, "unit": "per pixel"},
            "ae/mse": {"mean": 9.0, "low": 8.0, "high": 10.0, "unit": "per pixel"},
        },
    }  # fmt: skip
    (folder / "summary.json").write_text(json.dumps(summary))
    made = Run(folder)
    trained = lambda run, arm, seed: (7, PARAMS | {"b": jnp.float32(seed)})  # noqa: E731
    load = lambda run, arm, step, params: types.SimpleNamespace(  # noqa: E731
        params=params, step=step, shape=run.facts()["image_shape"]
    )
    fake = made.experiment._replace(trained=trained, load=load)
    made.experiment = fake
    monkeypatch.setattr(exports, "experiment_of", lambda folder, record: fake)
    monkeypatch.setattr("genjax.run.experiment_of", lambda folder, asked: fake)
    return made


def test_what_is_written_is_read_by_others_and_by_us(run, tmp_path):
    folder = export(run, tmp_path / "out", "ae", 1)
    arrays = load_file(folder / "model.safetensors")
    assert arrays.keys() == {"a/w", "b"} and arrays["b"] == 1
    shutil.rmtree(run.folder)
    model = genjax.load(folder)
    assert model.step == 7 and model.shape == [8, 8, 1]
    assert model.params["a"]["none"] == {} and model.params["b"].dtype == np.float32
    np.testing.assert_array_equal(model.params["a"]["w"], PARAMS["a"]["w"])
    opened = Exported(folder)
    assert opened.trained() == (opened, "ae", 1) and opened.config == run.config
    with pytest.raises(UsageError, match="a model of seed 1, not 0"):
        opened.model(seed=0)


def test_a_tree_is_flat_and_nested_again():
    tree = {"a": {"b": {"c": 1}, "d": {}}, "e": 2}
    assert flat(tree) == {"a/b/c": 1, "a/d": {}, "e": 2}
    assert nested(flat(tree)) == tree


def test_the_card_says_what_it_is(run, tmp_path):
    card = (export(run, tmp_path / "out", licence="mit") / "README.md").read_text()
    assert card.startswith("---\nlicense: mit\nlibrary_name: genjax\n")
    assert "# vae, seed 0: VAE (ELBO) against autoencoder" in card
    assert "A model of 4 parameters after 7 steps" in card and "Data: digits/none." in card
    assert "| mse | 0.5 (0.25 to 1) | per pixel |" in card and "8 to 10" not in card
    assert "commit c0ffee, jax 1.2" in card
    config = card.partition("```json\n")[2].partition("```")[0]
    assert json.loads(config)["arm"] == {"vae": {}, "ae": {"model": "ae"}}
    (run.folder / "summary.json").unlink()
    unfinished = (export(run, tmp_path / "other") / "README.md").read_text()
    assert "The run is not finished." in unfinished and "None were measured." in unfinished


def test_what_is_damaged_or_missing_is_named(run, tmp_path):
    folder = export(run, tmp_path / "out")
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:-1] + b"x")
    with pytest.raises(UsageError, match="model.safetensors: is damaged; export it anew"):
        genjax.load(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(UsageError, match="model.safetensors: is missing"):
        genjax.load(folder)
    (folder / "model.json").write_text("{")
    with pytest.raises(UsageError, match="model.json: a file of the run is broken"):
        genjax.load(folder)
    with pytest.raises(UsageError, match="no exported model, model.json is missing"):
        genjax.load(run.folder)
    with pytest.raises(UsageError, match="run: holds something else"):
        export(run, run.folder)
    with pytest.raises(UsageError, match="is a file; name a folder, empty or new"):
        export(run, run.folder / "config.json")


@pytest.fixture
def said(monkeypatch, capsys):
    monkeypatch.setattr("genjax_cli.signals.install", lambda called: None)

    def one(*arguments):
        code = 0
        try:
            command.main([str(argument) for argument in arguments], "genjax export")
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr()

    return one


def test_the_command_replaces_nothing_unless_it_is_told_to(run, tmp_path, said):
    out = tmp_path / "out"
    assert said(run.folder, out, "--arm=ae") == (0, f"{out}: ae, seed 0, step 7\n", "")
    code, _, error = said(run.folder, out)
    assert code == 2 and "holds a model already; --force replaces it" in error
    assert said(run.folder, out, "--force", "--seed=1")[1] == f"{out}: vae, seed 1, step 7\n"
    assert "a run, and the folder of the model: genjax export runs" in said(run.folder)[2]
    assert "no arm 'aee'; did you mean ae?" in said(run.folder, tmp_path / "no", "--arm=aee")[2]
    assert not (tmp_path / "no").exists()


def test_an_upload_is_asked_for_and_refused_in_one_line(run, tmp_path, said, monkeypatch):
    out, seen = tmp_path / "out", {}
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    code, _, error = said(run.folder, out, "--push=me/vae")
    assert code == 2 and "--push=me/vae needs huggingface_hub: pip install '" in error
    assert not out.exists()
    assert "--push=vae: owner/name" in said(run.folder, tmp_path / "b", "--push=vae")[2]

    class Api:
        def create_repo(self, name, exist_ok):
            if name == "you/vae":
                raise RuntimeError("403 Forbidden\nmore")
            return f"https://huggingface.co/{name}"

        def upload_folder(self, **given):
            seen.update(given)

    hub = types.SimpleNamespace(
        HfApi=Api, __spec__=ModuleSpec("huggingface_hub", None, origin="here")
    )
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    code, text, _ = said(run.folder, out, "--force", "--push=me/vae")
    assert code == 0 and text.endswith("https://huggingface.co/me/vae\n")
    assert seen["repo_id"] == "me/vae" and seen["folder_path"] == out
    assert set(seen["allow_patterns"]) == {"README.md", "model.json", "model.safetensors"}
    code, _, error = said(run.folder, out, "--force", "--push=you/vae")
    assert code == 2 and error == "genjax export: --push=you/vae: 403 Forbidden\n"


def test_the_hub_is_not_imported_unless_it_is_asked_for():
    code = "import sys, genjax.export; assert 'huggingface_hub' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
