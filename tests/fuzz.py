"""Inputs that nobody means: what fuzzing tests of readers share.

A test reads FUZZ inputs (default 300): FUZZ=10000 python -m pytest tests/test_fuzz.py
"""

import json
import os
import random

COUNT = int(os.environ.get("FUZZ", "300"))


def damaged(contents: list[bytes], seed: int = 0, count: int = 0):
    """Bytes: those given with bits flipped, cut, doubled, overwritten; and noise."""
    rng = random.Random(seed)
    for i in range(count or COUNT):
        found = bytearray(contents[i % len(contents)])
        for _ in range(rng.choice([1, 1, 1, 3, 20])):
            at = rng.randrange(len(found) + 1)
            how = rng.randrange(6)
            if how == 0 and at < len(found):
                found[at] ^= 1 << rng.randrange(8)
            elif how == 1:
                del found[at:]
            elif how == 2:
                del found[at : at + rng.randrange(1, 40)]
            elif how == 3:
                found[at:at] = rng.randbytes(rng.randrange(1, 20))
            elif how == 4:
                found[at : at + 4] = rng.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff"])
            elif rng.random() < 0.1:
                found[:] = rng.randbytes(rng.randrange(100))
        yield bytes(found)


def strange(rng: random.Random, depth: int = 0):
    """A JSON value that nobody means."""
    if depth < 3 and rng.random() < 0.3:
        if rng.random() < 0.5:
            return [strange(rng, depth + 1) for _ in range(rng.randrange(4))]
        return {rng.choice(["", "a", "loss", "seed"]): strange(rng, depth + 1) for _ in range(2)}
    return rng.choice(
        [None, True, False, 0, -1, 1, 10**20, -(10**400), 1e308, float("nan"), float("inf"),
         -float("inf"), 0.5, "", "x", "x" * 300, "\0\n", "\ud800", "ae", "1", [], {}]
    )  # fmt: skip


def mistyped(content, seed: int = 0, count: int = 0):
    """JSON with values that are replaced, dropped or renamed at any depth; and deep nesting."""
    rng = random.Random(seed)
    for i in range(count or COUNT):
        if i % 500 == 0:
            yield json.loads("[" * 900 + "]" * 900)
            continue
        found = json.loads(json.dumps(content))
        for _ in range(rng.choice([1, 1, 2, 5])):
            _change(found, rng)
        yield strange(rng) if rng.random() < 0.05 else found


def _change(found, rng: random.Random):
    place = found
    while True:
        if not isinstance(place, dict | list) or not place:
            return
        key = rng.choice(list(place)) if isinstance(place, dict) else rng.randrange(len(place))
        if isinstance(place[key], dict | list) and place[key] and rng.random() < 0.7:
            place = place[key]
            continue
        how = rng.randrange(4)
        if how == 0:
            del place[key]
        elif how == 1 and isinstance(place, dict):
            place[rng.choice(["", "nothing", "x" * 300])] = place.pop(key)
        else:
            place[key] = strange(rng)
        return


WORDS = (
    "", "0", "1", "-1", "2", "0.5", "1e9", "nan", "inf", "1" + "0" * 20, "9" * 5000, "x" * 300,
    "x" * 3000, "true", "False", "a,b", ",", "1,2", "1,1", "1" + ",1" * 5000, "\0", "\n", "\ud800",
    "ä", "a b", "=", ":", "..", "/", "--", "-", "0x1", "1_0", "None", "[]", "ring8", "digits",
    "5" * 60,
)  # fmt: skip


def flags(kind: type, folder, seed: int = 0, count: int = 0):
    """Command lines: flags of a configuration with values that fit, and some that do not."""
    rng = random.Random(seed)
    (folder / "binary").write_bytes(rng.randbytes(1000))
    (folder / "itself").write_text(f"--flagfile={folder / 'itself'}\n")
    (folder / "empty").write_text("# nothing\n\n// nothing\n")
    names, arms = list(kind.options()), list(getattr(kind, "arm_kind", kind).options())
    for _ in range(count or COUNT):
        yield [_flag(rng, kind, names, arms, folder) for _ in range(rng.choice([1, 1, 2, 3, 6]))]


def _value(rng: random.Random, kind: type, name: str) -> str:
    field = kind.options()[name]
    choices, default = field.metadata["choices"], getattr(field, "default", None)
    if rng.random() < 0.6:
        if choices:
            return ",".join(rng.choices(choices, k=rng.choice([1, 1, 1, 2])))
        return str(default).strip("(),")
    return rng.choice(WORDS)


def _flag(rng: random.Random, kind: type, names: list, arms: list, folder) -> str:
    how = rng.random()
    if how < 0.6:
        name = rng.choice(names)
        made = f"--{name}={_value(rng, kind, name)}"
    elif how < 0.8:
        inside = [f"{name}={_value(rng, kind, name)}" for name in rng.choices(arms, k=2)]
        made = f"--arm={rng.choice(['a', 'b', 'c', *WORDS])}:{','.join(inside)}"
    elif how < 0.9:
        file = rng.choice(["binary", "itself", "empty", "none", "", "x" * 300, "\0"])
        made = f"--flagfile={folder / file}"
    else:
        made = f"--{rng.choice(['', 'no', 'x'])}{rng.choice([*names, *WORDS])}"
    if rng.random() < 0.1:
        made = made[: rng.randrange(len(made) + 1)]
    if rng.random() < 0.1:
        at = rng.randrange(len(made) + 1)
        made = made[:at] + rng.choice(WORDS)[:400] + made[at:]
    return made
