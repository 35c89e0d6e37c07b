"""The command `genjax`: what it answers without training anything."""

import importlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import types

import pytest
from scripts import FLAGS, ROOT

from genjax.core import extras, flags, shipped
from genjax.core.errors import UsageError
from genjax.report import results
from genjax_cli import claims, launch, listing, main, runs, tables


@pytest.fixture
def said(monkeypatch, capsys):
    """(exit code, stdout, stderr) of a command line, in this process."""
    monkeypatch.setattr("genjax_cli.signals.install", lambda called: None)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["genjax", *arguments])
        code = 0
        try:
            main.main()
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr()

    return run


@pytest.mark.parametrize("name", ["", *main.RUNS, *main.TOOLS])
def test_help_ends_with_0_and_shows_lines_to_type(said, name):
    code, out, err = said(*filter(None, [name, "--help"]))
    assert (code, err) == (0, "")
    assert f"    genjax {name}".rstrip() in out
    assert all(len(line) <= 100 for line in out.splitlines())
    assert out == said(*filter(None, [name, "-h"]))[1] == said("help", *filter(None, [name]))[1]


def test_without_a_word_it_is_help_and_the_version_is_the_distributions(said):
    assert said() == said("--help")
    assert said("--version")[1].startswith("genjax 0.")


REFUSED = [
    "zzz", "vae --latent=0", "gan --pack=0", "attention --lengths=128,64",
    "domains --arm=a:replay=0.5", "benchmark --only=x", "list zzz", "claims --claims=zzz",
    "sample zzz", "report zzz", "compare zzz zzz", "export zzz zzz", "verify --claims=zzz",
    "vae --data=zzz", *(f"vae --data={source}:/zzz" for source in ("idx", "folder", "npz")),
    "gan --data=zzz", "gan --data=csv:/zzz", "gan --data=npz:/zzz",
    "gan --data=stacked:zzz:/zzz", "gan --data=stacked:idx:/zzz", "domains --corpus=/zzz",
]  # fmt: skip
# SciPy's own module is light: its parts are imported when they are named.
SLOW = {"jax", "sklearn", "matplotlib", "scipy.linalg", "scipy.spatial", "scipy.special"}
LINES = f"""
import sys
from genjax_cli import main
for line in sys.stdin.read().splitlines():
    sys.argv[1:], code = line.split(), 0
    try:
        main.main()
    except SystemExit as end:
        code = end.code
    assert code == 2 * ("--help" not in line), line
    found = {SLOW} & set(sys.modules)
    assert not found, (line, found)
"""


def test_help_and_what_the_command_line_alone_decides_import_nothing_slow():
    """Where they do, seconds pass before a word."""
    lines = [*(f"{name} --help" for name in [*main.RUNS, *main.TOOLS]), *REFUSED]
    done = subprocess.run(
        [sys.executable, "-c", LINES],
        input="\n".join(lines),
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("\n") == len(REFUSED)
    assert {line.split()[0] for line in REFUSED} >= {*main.RUNS, *main.TOOLS}


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("vea", "'vea': no such subcommand; did you mean vae?"),
        ("vae_digits", "a run: genjax vae --flagfile=vae_digits"),
        ("zzz", "choices: vae, gan, attention, domains, list"),
        ("vae vae_digits", "did you mean --flagfile=vae_digits?"),
        ("vae --flagfile=vae_digit", "there is no such file; did you mean vae_digits?"),
        ("gan --flagfile=flags/gan_rings.flags", "did you mean gan_ring"),
        ("gan --flagfile=zzz", "`genjax list` names those"),
        ("vae --model=vea", "--model=vea: no 'vea'; did you mean vae?"),
        ("attention --variants=flsh", "did you mean flash?"),
        ("gan --los=hinge", "loss"),
        ("gan --model=wgan", "did you mean arm?"),
        ("gan --arm=pac3:pack", "'pack' is no option=value of an arm; such as pack=..."),
        ("gan --data=stacked:mnist", "--data=stacked:mnist: no such source; did you mean stacked:"),
        ("vae --lr=0.1", "did you mean learning_rate?"),
        ("vae --gpu", "did you mean platform?"),
        ("vae --out=x", "did you mean workdir?"),
        ("vae --seeds=auot", "--seeds=auot: a whole number, or auto"),
        ("domains --corpus=zzz", "--corpus=zzz: there is no such folder"),
        ("list gan_rng", "no published run 'gan_rng'; did you mean gan_ring?"),
        ("claims --verdicts=refutd", "did you mean refuted?"),
        ("claims --claims=V1x", "did you mean V1"),
        ("verify --flagfiles=gan_rng", "did you mean gan_ring?"),
        ("report", "which run? Such as: genjax report runs/vae/vae_digits"),
        ("report runs/vae/vae_digits", "`genjax vae --flagfile=vae_digits` makes it"),
        ("sample vae_digit", "did you mean vae_digits? `genjax vae --flagfile=vae_digits` makes"),
        ("vae --flagfile=gan_ring", "another experiment: genjax gan --flagfile=gan_ring"),
        ("vae --flagfile gan_ring", "another experiment: genjax gan --flagfile=gan_ring"),
        (f"gan --flagfile={ROOT}", "is a folder; a file is needed"),
        ("gan ring", "did you mean --flagfile=gan_ring?"),
        ("vae iwae", "did you mean --model=iwae?"),
        ("benchmark vae", "did you mean --only=vae?"),
        ("claims V1", "flags are written --name=value, such as --claims=V1"),
        ("verify V1", "flags are written --name=value, such as --claims=V1"),
        (f"verify --claims=V1 --tries={__file__}", "is a file; a folder is needed"),
        (f"vae --data=folder:{__file__}", "is a file; a folder is needed"),
        (f"vae --data=idx:{__file__}", "is a file; a folder is needed"),
        (f"vae --data=npz:{ROOT}", "is a folder; a file is needed"),
        (f"gan --data=csv:{ROOT}", "is a folder; a file is needed"),
    ],
)
def test_what_is_wrong_is_answered_in_a_line_with_the_nearest_right_one(
    said, line, answer, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    code, out, err = said(*line.split())
    assert (code, out) == (2, "")
    assert err.startswith("genjax") and answer in err and err.count("\n") == 1
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "line, answer",
    [
        ("gan --data=csv:empty.csv", "--data=csv:empty.csv: is empty"),
        ("gan --data=stacked:npz:empty.csv", "--data=stacked:npz:empty.csv: is empty"),
        ("vae --data=folder:none", "--data=folder:none: is empty"),
        ("vae --workdir=empty.csv", "--workdir=empty.csv: empty.csv is a file; name a folder"),
        ("gan --workdir=empty.csv/a/b", "--workdir=empty.csv/a/b: empty.csv is a file; name"),
    ],
)
def test_what_lies_there_is_looked_at_before_the_imports(said, line, answer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("genjax_cli.launch._run", lambda *_: pytest.fail("imports jax"))
    (tmp_path / "empty.csv").touch()
    (tmp_path / "none").mkdir()
    code, out, err = said(*line.split())
    assert (code, out) == (2, "") and answer in err and err.count("\n") == 1


def test_where_nothing_can_be_written_it_is_said(said, tmp_path, monkeypatch):
    """Before anything is computed, where that takes minutes; root may write everywhere."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.json").touch()
    monkeypatch.setattr("genjax_cli.report.room_of", lambda folder: ())

    def refused(*_):
        raise PermissionError(13, "Permission denied", "x")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("genjax.report.page.write", refused)
    access = os.access
    monkeypatch.setattr("os.access", lambda *_: False)
    monkeypatch.setattr("genjax.verify._again", None)
    code, _, err = said("report", "run")
    assert code == 2 and "run: cannot be written: [Errno 13]" in err
    code, _, err = said("verify", "--claims=V1", "--tries=new")
    assert code == 2 and "--tries=new: no file can be made in . (Permission denied)" in err
    (tmp_path / "config.json").touch()
    code, _, err = said("sample", ".", "--out=a/x.png")
    assert code == 2 and "--out=a/x.png: no file can be made in . (Permission" in err
    code, _, err = said("export", ".", "model")
    assert code == 2 and "model: no file can be made in . (Permission denied); name" in err
    monkeypatch.setattr("os.access", access)
    monkeypatch.setattr("pathlib.Path.iterdir", refused)
    code, _, err = said("domains", f"--corpus={tmp_path}")
    assert code == 2 and "cannot be read: Permission denied" in err and "--corpus=" in err


def test_a_package_that_is_missing_is_named_before_anything_is_imported(said, monkeypatch):
    monkeypatch.setitem(extras.MODULES, "hf", ("no_such_package",))
    monkeypatch.setattr(launch, "_run", None)
    for line in ("vae --data=hf:mnist", "gan --data=stacked:hf:mnist"):
        code, _, err = said(*line.split())
        assert code == 2
        assert f"{line.split()[1]} needs no_such_package: pip install 'genjax-exp" in err


def test_what_lies_about_is_understood(said, tmp_path, monkeypatch):
    """A folder of runs, a file of one, a flagfile in two words."""
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "runs/vae/mine"
    run.mkdir(parents=True)
    (run / "config.json").touch()
    (run / "report.html").touch()
    assert "a folder of runs: genjax report runs" in said("runs")[2]
    assert "did you mean runs/vae/mine?" in said("report", "runs/vae/mine/report.html")[2]
    seen = []
    monkeypatch.setattr(launch, "_run", lambda _, asked: seen.append(asked.place.workdir))
    said("vae", "--flagfile", "vae_smoke")
    said("vae", "--flagfile=vae_smoke")
    assert seen == ["runs/vae/vae_smoke"] * 2


CHOICES = [
    (experiment, kind, name, choice)
    for experiment, about in launch.EXPERIMENTS.items()
    for config in [importlib.import_module(f"genjax.{about.room}.config").Config]
    for kind in (config, getattr(config, "arm_kind", None), flags.place_of(config))
    for name, field in (kind.options().items() if kind else ())
    for choice in field.metadata["choices"]
    if isinstance(choice, str)
]


def test_a_misspelt_choice_of_any_flag_gets_the_nearest_right_one():
    """A letter too many; of names that are short, the nearest may be another of them. Capitals,
    two letters swapped, words around it: never another."""
    named = {(experiment, name) for experiment, _, name, _ in CHOICES}
    assert len(named) > 20 and {(one, "platform") for one in launch.EXPERIMENTS} <= named
    for experiment, kind, name, choice in CHOICES:
        options, short = kind.options()[name], len(choice) < 5
        twisted = f"{choice[1::-1]}{choice[2:]}"
        wrongs = {f"{choice}{choice[-1]}": short, choice.upper(): False, choice.title(): False}
        wrongs |= {twisted: False, f"{choice}-of-many-words": "_" in choice}
        for wrong, another in wrongs.items():
            if wrong in options.metadata["choices"]:
                continue
            with pytest.raises(UsageError) as caught:
                kind(**{options.name: kind.parse(name, wrong)})
            line = str(caught.value)
            assert f"--{name}={wrong}" in line, (experiment, line)
            meant = re.findall(r"did you mean (\w+)\?", line)
            assert meant == [choice] or another, line


def test_a_script_and_the_command_are_one(said, monkeypatch, capsys):
    """The same help but for the name, the same configuration, the same refusal."""
    seen = []
    monkeypatch.setattr(launch, "_run", lambda *given: seen.append(given))
    flag = f"--flagfile={FLAGS / 'vae_smoke.flags'}"
    said("vae", flag)
    monkeypatch.setattr(sys, "argv", ["experiments/vae.py", flag])
    monkeypatch.setitem(sys.modules, "missing", types.ModuleType("missing"))
    place = ROOT / "experiments" / "vae.py"
    spec = importlib.util.spec_from_file_location("__main__", place)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    assert len(seen) == 2 and seen[0] == seen[1]
    helped = said("vae", "--help")[1]
    monkeypatch.setattr(sys, "argv", ["experiments/vae.py", "--help"])
    launch.script("vae")
    assert capsys.readouterr().out == helped.replace("genjax vae", "python experiments/vae.py")


def test_a_closed_pipe_is_no_traceback():
    command = f"{sys.executable} -m genjax_cli claims | head -1"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr == "" and done.stdout.count("\n") == 1


# --- Lists ---------------------------------------------------------------------------------------


def test_the_list_has_every_flagfile_and_the_minutes_of_what_is_published():
    whole = listing.listing(())
    names = re.findall(r"^  (\w+_\w+) ", whole, re.M)
    assert sorted(names) == sorted(path.stem for path in FLAGS.glob("*.flags"))
    minutes = results.read(shipped.RESULTS)["gan_ring"]["minutes"]
    assert re.search(rf"gan_ring +The main job: .* {minutes} minutes on 2 cores of AMD EPYC", whole)
    some = listing.listing(("mqar",))
    assert "attention_mqar" in some and "genjax attention" in some and "genjax gan" not in some
    assert "Needs --corpus=<folder>" in listing.listing(("domains_text",))


def test_a_header_without_its_lines_is_refused(tmp_path):
    path = tmp_path / "a.flags"
    text = "# What.\n#   python experiments/vae.py --flagfile=x --data=<d>\n# Takes: long.\n"
    path.write_text(text)
    assert shipped.read(path) == ("a", "vae", "What.", "long.", "--data=<d>")
    for line in text.splitlines()[:3]:
        path.write_text(text.replace(line, "#"))
        with pytest.raises(UsageError, match="a.flags: the header needs a purpose"):
            shipped.read(path)


def test_claims_stand_with_the_rate_at_which_they_repeat(tmp_path, monkeypatch):
    published = results.read(shipped.RESULTS)
    (claim, *_) = (one for one in published["gan_ring"]["claims"] if one["id"] == "G1")
    one = {"claim": "G1", "flagfile": "gan_ring", "outcome": "repeated"}
    one |= {key: claim[key] for key in ("seal", "replicates")}
    same = {key: value for key, value in one.items() if key != "outcome"}
    tries = results.replications(shipped.RESULTS)
    before = [each for each in tries if same.items() <= each.items()]
    repeated = sum(each["outcome"] == "repeated" for each in before)
    tries = [one, one | {"outcome": "contradicted"}]
    (tmp_path / results.TRIES).write_text("".join(json.dumps(each) + "\n" for each in tries))
    monkeypatch.setattr(shipped, "TRIES", tmp_path)
    whole = claims.listing(claims.Config(claims=("G1",)))
    assert re.search(rf"G1 +.* {repeated + 1} of {len(before) + 2}.*, 1 against", whole)
    assert claim["statement"].split(",")[0] in whole and "V1" not in whole
    every = claims.listing(claims.Config())
    counted = sum(int(number) for number in re.findall(r"(\d+) [a-z]+", every.splitlines()[-1]))
    assert counted == sum(len(result["claims"]) for result in published.values())
    refuted = claims.listing(claims.Config(verdicts=("refuted",), flagfiles=("vae_digits",)))
    assert "V2b" in refuted and "supported" not in refuted and "gan_ring" not in refuted


def test_a_table_folds_long_cells_and_keeps_names_whole(monkeypatch):
    monkeypatch.setattr(tables, "WIDE", 40)
    text = tables.table(["a", "b"], [["[name]" + "x" * 10, "word " * 20], ["c", "[d]"]])
    assert "[name]xxxxxxxxxx  " in text and "[d]" in text
    assert max(map(len, text.splitlines())) <= 40


# --- Names ---------------------------------------------------------------------------------------


def test_a_flagfile_is_found_by_its_name_from_anywhere(tmp_path, monkeypatch):
    from genjax.gan.config import Config

    monkeypatch.chdir(tmp_path)
    asked = flags.parse(Config, "gan", ["--flagfile=gan_ring_pacgan2", "--seeds=3"])
    # It includes another one by name; what stands behind it counts.
    assert asked.config.steps == 400_000 and asked.config.seeds == 3
    # A file of that name in the folder goes first.
    (tmp_path / "gan_ring").write_text("--steps=7\n")
    assert flags.parse(Config, "gan", ["--flagfile", "gan_ring"]).config.steps == 7
    with pytest.raises(UsageError, match="no such file"):
        flags.parse(Config, "gan", ["--flagfile=../flags/gan_ring.flags"])


def test_flags_and_words_mix_and_a_word_may_follow_a_flag():
    asked = flags.read(
        claims.Config, ["a", "--verdicts=refuted", "b", "--claims", "V1"], words=True
    )
    assert asked.words == ("a", "b") and asked.config.claims == ("V1",)
    with pytest.raises(UsageError, match="unexpected argument 'a'"):
        flags.read(claims.Config, ["a"])


def test_live_may_stand_alone_or_name_a_port(tmp_path):
    from genjax.gan.config import Config

    def place(*arguments):
        return flags.parse(Config, "gan", [*arguments]).place

    assert place().live is None and place().all_writers == ()
    assert place("--live").live == flags.LIVE_PORT and place("--live=0").live == 0
    (tmp_path / "a.flags").write_text("--live\n--tensorboard\n")
    found = place(f"--flagfile={tmp_path}/a.flags", "--writers=mlflow,tensorboard")
    assert found.live == flags.LIVE_PORT and found.all_writers == ("mlflow", "tensorboard")
    for wrong, said in (("--live=65536", "from 0 to 65,535"), ("--writers=wanb", "mean wandb?")):
        with pytest.raises(UsageError, match=re.escape(said)):
            place(wrong)


def test_a_run_is_found_by_its_path_and_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "runs" / "vae" / "mine"
    place.mkdir(parents=True)
    (place / "config.json").write_text("{}")
    assert runs.folder("mine").resolve() == place == runs.folder(str(place))
    with pytest.raises(UsageError, match="miine: no run.*; did you mean mine?"):
        runs.folder("miine")
    with pytest.raises(UsageError, match="^runs/vae: no run, but a folder of runs: mine$"):
        runs.folder("runs/vae")


def test_installed_the_data_lie_inside_the_package(tmp_path, monkeypatch):
    """As setup.py maps them: the names of its packages are the folders that are looked for."""
    mapped = (ROOT / "setup.py").read_text()
    home = tmp_path / "genjax" / "core"
    home.mkdir(parents=True)
    for name, folder in (("flagfiles", shipped.FLAGFILES), ("results", shipped.RESULTS)):
        assert f'"genjax.{name}": "{folder.relative_to(ROOT).as_posix()}"' in mapped
        (tmp_path / "genjax" / name).mkdir()
    copy = types.ModuleType("copy")
    copy.__file__ = str(home / "shipped.py")
    exec((ROOT / "genjax/core/shipped.py").read_text(), vars(copy))
    assert copy.INSTALLED and not shipped.INSTALLED
    assert tmp_path / "genjax/flagfiles" == copy.FLAGFILES
    assert tmp_path / "genjax/results" == copy.RESULTS and str(copy.TRIES) == "runs"
