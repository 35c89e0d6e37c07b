"""Processes that are asked at once, and their turns."""

import socket
import threading

import pytest

from genjax.core.errors import RunError
from genjax.scaling import children


def test_turns_come_in_order_between_what_all_do_at_once():
    """Threads stand for processes; the second of the three ends without a turn."""
    pairs = [socket.socketpair() for _ in range(3)]
    said = []

    def process(i, line):
        said.append((i, "before"))
        if i != 1:
            with children.turn({"line": line.fileno()}):
                said.append((i, "begins"))
                said.append((i, "ends"))
            said.append((i, "behind"))
        line.close()

    # The last is the first to ask.
    threads = [threading.Thread(target=process, args=(i, pairs[i][1])) for i in (2, 1, 0)]
    for thread in threads:
        thread.start()
    children._give_turns([ours for ours, _ in pairs])
    for thread in threads:
        thread.join()
    for ours, _ in pairs:
        ours.close()
    assert {*said[:3]} == {(0, "before"), (1, "before"), (2, "before")}
    assert said[3:7] == [(0, "begins"), (0, "ends"), (2, "begins"), (2, "ends")]
    assert {*said[7:]} == {(0, "behind"), (2, "behind")}


def test_who_ends_with_a_turn_that_it_did_not_take_stops_no_other(monkeypatch):
    ours, its = socket.socketpair()
    tell = children._tell

    def tell_and_end(line):
        tell(line)
        its.close()

    monkeypatch.setattr(children, "_tell", tell_and_end)
    its.send(b".")
    with ours:
        children._give_turns([ours])


def test_nobody_gives_turns_any_more():
    ours, its = socket.socketpair()
    ours.close()
    with its, pytest.raises(RunError, match="has ended"), children.turn({"line": its.fileno()}):
        pytest.fail("it was given a turn")


def test_who_is_asked_by_no_other_process_waits_for_none():
    with children.turn({}):
        pass
