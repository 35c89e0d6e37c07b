"""What a person who waits is told: the share that is done, and what is left."""

import numpy as np
import pytest

from genjax.core import progress


def test_what_is_left_is_of_all_trainings():
    job = progress.Job({"a": 100, "skipped": 50, "b": 300})
    job.begin("a", 100, 0)
    job.reach("a", 100, 20.0)
    assert (job.done, job.total, job.left) == (100, 450, pytest.approx(350 * 0.2))
    # What was planned in between needed no training; b goes on from step 60, at another pace.
    job.begin("b", 300, 60)
    assert (job.done, job.total) == (160, 400)
    job.reach("b", 100, 16.0)
    assert job.left == pytest.approx(200 * 36 / 140)
    # A training that nobody planned.
    job.begin("prior", 40, 0)
    assert job.total == 100 + 300 + 40


def test_a_line_tells_the_step_the_loss_and_the_whole_job(capsys):
    job = progress.Job({"a": 10, "b": 10})
    line = progress.Progress("a", 10, job=job, every=1e9, status=lambda: "modes 8 of 8")
    line(5, {"loss": np.array([1.0, 3.0])})
    assert not capsys.readouterr().err
    line(10, {"loss": np.array([1.0, 3.0])})
    said = capsys.readouterr().err
    assert said.startswith("a: step 10/10, loss 2, modes 8 of 8; training 50% done, ")
