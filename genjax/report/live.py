"""The page of a run while it trains: drawn from what is logged so far, and served on this machine.

Drawn by the process that trains, where its rows are written, and for at most a fiftieth of its
time: no number depends on it, and whatever fails in it is a line.
"""

import threading
import time
import zlib
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from genjax.core import files
from genjax.core import rows as log
from genjax.core.errors import UsageError, one_line
from genjax.core.progress import Job, say
from genjax.report import blocks, charts, html
from genjax.report.about import About, found
from genjax.report.charts import Axis, Chart, Panel

# Seconds between two drawings, at least; and how many times as long as one takes.
EVERY, SHARE = 10.0, 50
# Seconds in which a page that somebody watches asks again; and panels, of the metrics first logged.
ASKS, MOST = 3, 12
PAGE, HOST = "report.html", "127.0.0.1"


class Live:
    """The page of one run, a `genjax.core.writers.Writer`.

    port: on which it is served; 0: one that is free. folder: of the run, which need not be there
    yet. Raises UsageError where the port cannot be had, before anything is written.
    """

    def __init__(self, port: int, folder: Path, title: str, about: About, arms: Sequence[str]):
        self.folder, self.title, self.about, self.arms = folder, title, about, arms
        self.job = Job({})
        self._next, self._failed = 0.0, False
        self._asked, self._finished = 0.0, threading.Event()
        try:
            self._server = ThreadingHTTPServer((HOST, port), self._handler())
        except OSError as error:
            raise UsageError(
                f"--live={port}: {error.strerror or error}; name another port, or --live=0 for one "
                "that is free"
            ) from error
        self.address = f"http://{HOST}:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()

    def begin(self, job: Job) -> None:
        """A run, or a block of it, begins. job: what it is about to train."""
        self.job = job
        self._draw()

    def write(self, arm: str, rows: Sequence[dict]) -> None:
        """Draws the page again where it is time; not between timings, which it would disturb."""
        if time.monotonic() >= self._next and any("seed" in row for row in rows):
            self._draw()

    def close(self) -> None:
        """A block of the run is over; `stop` ends the page."""

    def stop(self, *, done: bool) -> None:
        """Serves no more. done: report.html is the finished one; who watches still gets it."""
        watched = time.monotonic() - self._asked < 2 * ASKS
        self._finished.clear()
        if done and watched:
            self._finished.wait(2 * ASKS)
        self._server.shutdown()
        self._server.server_close()

    def _draw(self) -> None:
        began = time.monotonic()
        try:
            files.replace(self.folder / PAGE, self.render().encode())
        except Exception as error:  # Whatever it is, training goes on.
            if not self._failed:
                say(f"--live: the page cannot be drawn ({one_line(error)}); training goes on")
            self._failed = True
        took = time.monotonic() - began
        self._next = began + max(EVERY, SHARE * took)

    def render(self) -> str:
        """The page as of now, from metrics.jsonl of the run, or of its blocks."""
        rows = []
        for path in blocks.paths(self.folder) or [self.folder]:
            file = path / "metrics.jsonl"
            rows += log.decode(file.read_bytes())[0] if file.exists() else []
        chart = curves(rows, self.arms, self.about)
        return html.filled(
            "live.html",
            title=self.title,
            question=self.about.question,
            chart=charts.as_data(chart) if chart.panels else None,
            scripts=html.scripts() if chart.panels else [],
            done=self.job.done,
            total=self.job.total,
            left=self.job.left,
            written=time.strftime("%H:%M:%S"),
            asks=ASKS,
        )

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        live = self

        class Handler(BaseHTTPRequestHandler):
            """The one page, and nothing else of the folder."""

            def do_HEAD(self):
                self._answer(body=False)

            def do_GET(self):
                self._answer(body=True)

            def _answer(self, *, body: bool):
                live._asked = time.monotonic()
                path = live.folder / PAGE
                if self.path not in ("/", f"/{PAGE}") or not path.exists():
                    self.send_error(404)
                    return
                content = path.read_bytes()
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(content)))
                self.send_header("ETag", f'"{zlib.crc32(content):08x}"')
                self.send_header("Cache-Control", "no-store")
                self.end_headers()
                if body:
                    self.wfile.write(content)
                    live._finished.set()

            def log_message(self, format, *args):
                """Says nothing: the terminal is training's."""

        return Handler


def curves(rows: Sequence[dict], arms: Sequence[str], about: About) -> Chart:
    """A panel a metric that was logged along training, a series an arm."""
    rows = [row for row in rows if "seed" in row and row["arm"] in arms]
    names = dict.fromkeys(name for row in rows for name in row)
    names = [name for name in names if name not in ("arm", "seed", "step")][:MOST]
    panels = []
    for name in names:
        term = found(about.terms, name)
        unit = about.terms[term].unit if term else ""
        series = [
            charts.over_seeds(arm, [row for row in rows if row["arm"] == arm], "step", name)
            for arm in arms
        ]
        value = Axis(name, unit or "as logged")
        panels.append(Panel(Axis("training", "steps"), value, [s for s in series if len(s.x)]))
    return Chart(panels, among=arms)
