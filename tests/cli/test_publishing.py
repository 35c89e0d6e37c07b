"""Publishing refuses what nobody could look up or repeat; nothing is written then."""

from types import SimpleNamespace

import pytest

import genjax.run
from genjax.core.errors import UsageError
from genjax.vae.config import Config
from genjax_cli import publishing


@pytest.mark.parametrize(
    ("folders", "summary", "said"),
    [
        (["a", "b"], {}, "--publish=vae_digits: one run, not 2"),
        (["a"], None, "a: no finished run, summary.json is missing"),
        (["a"], {"commit": "0123456789ab-dirty"}, "a is of 0123456789ab-dirty, code that nobody"),
        (["a"], {"commit": "0123456789ab"}, "--publish=vae_digits: a was made by other flags"),
    ],
)
def test_what_cannot_be_looked_up_is_not_published(monkeypatch, folders, summary, said):
    def found(folder):
        experiment = SimpleNamespace(name="vae")
        return SimpleNamespace(
            folder=folder, summary=summary, config=Config(), experiment=experiment
        )

    monkeypatch.setattr(genjax.run, "Run", found)
    monkeypatch.setattr(publishing, "copy_pictures", lambda *_: pytest.fail("written"))
    with pytest.raises(UsageError, match=said):
        publishing.publish("vae_digits", folders)
