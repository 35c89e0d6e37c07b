"""What a person who waits is told: the share that is done, and what is left."""

import numpy as np
import pytest

from genjax.core import progress


def test_what_is_left_is_of_all_trainings():
    job = progress.Job({"a": 100, "skipped": 50, "b": 300}, clock=lambda: 0.0)
    job.begin("a", 100, 0)
    job.reach("a", 100, 20.0)
    assert (job.done, job.total, job.left) == (100, 450, pytest.approx(350 * 0.2))
    # What was planned in between needed no training; b goes on from step 60, at another pace.
    job.begin("b", 300, 60)
    assert (job.done, job.total) == (160, 400)
    job.reach("b", 100, 16.0)
    # What was planned in its place took as long a step, while nothing more is known.
    assert job.left == pytest.approx(200 * (0.2 + 0.4) / 2)
    # A training that nobody planned.
    job.begin("prior", 40, 0)
    assert job.total == 100 + 300 + 40


def test_what_is_left_knows_arms_of_another_cost_and_measuring():
    """The first stretch of each compiles, and says nothing once there is another."""
    now = [0.0]
    job = progress.Job({"a": 100, "b": 100, "c": 100}, clock=lambda: now[0])
    job.begin("classifier", 50, 0)
    job.reach("classifier", 25, 900.0)
    job.reach("classifier", 50, 500.0)
    job.begin("a", 100, 0)
    job.reach("a", 10, 30.0)
    assert job.left == pytest.approx(290 * 20)  # Nothing but the classifier's pace is known.
    job.reach("a", 20, 1.0)
    assert job.left == pytest.approx(280 * 0.1)
    job.reach("a", 100, 8.0)
    now[0] = 40.0  # Measured.
    job.begin("b", 100, 0)
    assert job.left == pytest.approx(200 * 0.1 + 2 * 40)
    job.reach("b", 50, 100.0)
    job.reach("b", 60, 3.0)
    assert job.left == pytest.approx(40 * 0.3 + 100 * (0.1 + 0.3) / 2 + 2 * 40)
    job.reach("b", 100, 12.0)
    now[0] = 60.0
    job.begin("c", 100, 0)
    assert job.left == pytest.approx(100 * 0.2 + 1 * 30)
    job.reach("c", 50, 9.0), job.reach("c", 100, 9.0)
    assert job.left == pytest.approx(30)


def test_a_line_tells_the_step_the_loss_and_the_whole_job(capsys):
    job = progress.Job({"a": 10, "b": 10})
    line = progress.Progress("a", 10, job=job, every=1e9, status=lambda: "modes 8 of 8")
    line(5, {"loss": np.array([1.0, 3.0])})
    assert not capsys.readouterr().err
    line(10, {"loss": np.array([1.0, 3.0])})
    said = capsys.readouterr().err
    assert said.startswith("a: step 10/10, loss 2, modes 8 of 8; training 50% done, ")


def test_what_is_said_before_a_refusal_is_dropped(capfd):
    with progress.held():
        progress.say("one")
        with progress.held():
            progress.say("two")
        progress.say("three")
        assert not capfd.readouterr().err
    assert capfd.readouterr().err == "one\ntwo\nthree\n"
    with pytest.raises(ValueError), progress.held():
        progress.say("four")
        raise ValueError
    progress.say("five")
    assert capfd.readouterr().err == "five\n"
