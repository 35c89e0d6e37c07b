"""What a script says where Python lacks a library: one line. Imported before all that may lack."""

import sys
from pathlib import Path


def _say(kind, error, trace):
    library = (getattr(error, "name", None) or "").partition(".")
    if not issubclass(kind, ModuleNotFoundError) or library[0] == "genjax" and library[2]:
        sys.__excepthook__(kind, error, trace)
        return
    script = Path(sys.argv[0]).name
    print(f"{script}: no module {library[0]}; pip install -r requirements.txt", file=sys.stderr)
    raise SystemExit(2)


sys.excepthook = _say
