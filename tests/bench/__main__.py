"""`make bench`: every figure beside the peers', measured in the same run, the receivers in turn within a round."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench import arrive, change, container, geofence, held, worklist
from tests.bench.command import start_up
from tests.bench.deliver import at_once, by_box, by_dcmsend
from tests.bench.phantom import write_phantom
from tests.bench.receive import UNCONTAINED, Load, Result, Round, one_round, summary
from tests.bench.workloads import Workload, workloads
from tests.compiled import compile_modules

PARTS = ("receive", "nagle", "deliver", "change", "worklist", "held", "command", "arrive", "geofence", "container")
RECEIVERS = ("capacitord", "Orthanc", "storescp")
_NAGLE_IMAGES = {"tiny": 120, "CT": 120}
"""Enough of them: at 25 images/s a peer takes seconds."""


def main() -> int:
    """Measure and print; the exit code says only whether everything could be measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds a figure is the median of")
    parser.add_argument("--scale", type=float, default=1.0, help="size of a round; 1 is a few seconds each")
    parser.add_argument("--only", choices=PARTS, help="measure only this")
    parser.add_argument("--folder", type=Path, help="a folder on the disk to measure (default: a temporary one)")
    options = parser.parse_args()
    console = Console(width=140, highlight=False)
    compile_modules()
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="bench-") as name:
        bench = _Bench(console, Path(name), options.rounds, options.scale)
        for part in PARTS:
            if options.only in {None, part}:
                getattr(bench, part)()
    return 0


class _Bench:
    """One run of the bench."""

    def __init__(self, console: Console, folder: Path, rounds: int, scale: float) -> None:
        self._console, self._folder, self._rounds, self._kinds = console, folder, rounds, workloads(scale)
        self._slices = max(20, int(500 * scale))
        self._entries = max(100, int(10_000 * scale))
        self._sites = max(50, int(5_000 * scale))
        self._runs = 0

    def _fresh(self) -> Path:
        self._runs += 1
        return self._folder / f"run{self._runs}"

    def _measure(self, workload: Workload, associations: int, *, nagle: bool) -> dict[str, Result]:
        load = Load.of(workload, self._folder / "images", associations)
        rounds: defaultdict[str, list[Round]] = defaultdict(list)
        for _ in range(self._rounds):
            for name in RECEIVERS:
                rounds[name].append(one_round(name, self._fresh(), load, nagle=nagle))
        return {name: summary(rounds[name], workload) for name in RECEIVERS}

    def receive(self) -> None:
        """Receive with 1, 2 and 4 associations, sender without Nagle."""
        table = _receive_table("Receiving, sender without Nagle: ours is sealed and synced, the others as installed")
        alone: dict[str, float] = {}
        for workload in self._kinds:
            for associations in (1, 2, 4):
                results = self._measure(workload, associations, nagle=False)
                ours = results["capacitord"]
                alone.setdefault(workload.name, ours.rate)
                _add_row(table, workload.name, associations, results, ours.rate / alone[workload.name])
        self._console.print(table)

    def nagle(self) -> None:
        """Receive from a sender as it comes."""
        table = _receive_table("Receiving, sender and peers as they come (Nagle on)")
        for workload in self._kinds:
            if workload.name in _NAGLE_IMAGES:
                few = Workload(f"{workload.name} ", workload.shape, _NAGLE_IMAGES[workload.name])
                _add_row(table, workload.name, 1, self._measure(few, 1, nagle=True), 1.0)
        self._console.print(table)

    def deliver(self) -> None:
        """Send, and take in and deliver at once."""
        table = Table("workload", title="Sending to storescp, and taking in while delivering", title_justify="left")
        for heading in ("box img/s", "dcmsend img/s", "box/dcmsend", "taking in alone", "while delivering", "kept",
                        "received to delivered"):  # fmt: skip
            table.add_column(heading, justify="right")
        for workload in self._kinds:
            load = Load.of(workload, self._folder / "images")
            box, dcmsend, alone, taken, through = [], [], [], [], []
            for _ in range(self._rounds):
                box.append(by_box(self._fresh(), load))
                dcmsend.append(by_dcmsend(self._fresh(), load))
                alone.append(one_round("capacitord", self._fresh(), load, nagle=False).seconds)
                both = at_once(self._fresh(), load)
                taken.append(both[0])
                through.append(both[1])
            rates = [1 / statistics.median(seconds) for seconds in (box, dcmsend, alone, taken, through)]
            table.add_row(
                workload.name,
                *(f"{rate:,.0f}" for rate in rates[:2]),
                f"{rates[0] / rates[1]:.2f}x",
                *(f"{rate:,.0f}" for rate in rates[2:4]),
                f"{rates[3] / rates[2]:.0%}",
                f"{rates[4]:,.0f}",
            )
        self._console.print(table)

    def change(self) -> None:
        """Change images on their way, and take in while that goes on."""
        study = write_phantom(self._folder, self._slices)
        table = Table("change", title=f"A CT study of {self._slices} slices, changed on its way", title_justify="left")
        for heading in ("box img/s", "/forwarded", "tool", "tool img/s", "box/tool"):
            table.add_column(heading, justify="right")
        rounds: defaultdict[str, list[float]] = defaultdict(list)
        for _ in range(self._rounds):
            rounds["forwarded"].append(change.by_box(None, study, self._fresh()))
            for each in change.CHANGES:
                rounds[each.name].append(change.by_box(each, study, self._fresh()))
                rounds[each.tool].append(change.by_tool(each, study, self._fresh()))
        rates = {name: 1 / statistics.median(seconds) for name, seconds in rounds.items()}
        table.add_row("forwarded as received", f"{rates['forwarded']:,.0f}")
        for each in change.CHANGES:
            ours, theirs = rates[each.name], rates[each.tool]
            share = f"{ours / rates['forwarded']:.2f}x"
            table.add_row(each.name, f"{ours:,.0f}", share, each.tool, f"{theirs:,.0f}", f"{ours / theirs:.2f}x")
        self._console.print(table)
        self._console.print(self._while_busy(study))

    def _while_busy(self, study: Path) -> Table:
        busy = change.CHANGES[-1]
        table = Table("workload", title=f"Receiving while images are written as {busy.name}", title_justify="left")
        for heading in ("alone img/s", "while busy", "kept"):
            table.add_column(heading, justify="right")
        for workload in self._kinds[:2]:
            load = Load.of(workload, self._folder / "images")
            alone, taken = [], []
            for _ in range(self._rounds):
                alone.append(one_round("capacitord", self._fresh(), load, nagle=False).seconds)
                taken.append(change.while_busy(busy, study, load, self._fresh()))
            rates = [1 / statistics.median(seconds) for seconds in (alone, taken)]
            table.add_row(workload.name, *(f"{rate:,.0f}" for rate in rates), f"{rates[1] / rates[0]:.0%}")
        return table

    def worklist(self) -> None:
        """Answer queries over one list."""
        table = Table("server", title=f"A worklist of {self._entries:,} entries", title_justify="left")
        for heading in ("answers/s", "box/server", "queries for one", "99th percentile ms", "server/box"):
            table.add_column(heading, justify="right")
        rates: defaultdict[str, list[float]] = defaultdict(list)
        waits: defaultdict[str, list[float]] = defaultdict(list)
        folder = self._fresh()
        folder.mkdir()
        with worklist.all_servers(folder, self._entries) as servers:
            for number in range(self._rounds):
                for name, server in servers.items():
                    # The others read every file for every query, so they get few.
                    patients = range(number, self._entries, self._entries // (100 if name == "capacitord" else 3))
                    answered = worklist.one_round(server, self._entries, patients)
                    rates[name].append(answered.rate)
                    waits[name] += answered.waits
        ours = statistics.median(rates["capacitord"]), worklist.percentile(waits["capacitord"])
        for name in worklist.SERVERS:
            rate, wait = statistics.median(rates[name]), worklist.percentile(waits[name])
            share = "" if name == "capacitord" else f"{ours[0] / rate:.1f}x"
            quicker = "" if name == "capacitord" else f"{wait / ours[1]:.1f}x"
            table.add_row(name, f"{rate:,.0f}", share, f"{len(waits[name])}", f"{1000 * wait:,.1f}", quicker)
        self._console.print(table)

    def held(self) -> None:
        """Time the list of what waits for a person."""
        studies = max(20, self._entries * held.STUDIES // 10_000)
        title = f"Held studies beside a worklist of {self._entries:,} entries, whole processes, milliseconds"
        table = Table("command", title=title, title_justify="left")
        table.add_column("median", justify="right")
        found = held.listing(self._fresh(), studies, self._entries, max(3, self._rounds))
        for name, median in found.items():
            table.add_row(name, f"{median:.0f}")
        self._console.print(table)

    def command(self) -> None:
        """Time the command line."""
        table = Table("command", title="Whole processes, milliseconds", title_justify="left")
        table.add_column("median", justify="right")
        for name, median in start_up(self._fresh(), max(5, 3 * self._rounds)).items():
            table.add_row(name, f"{median:.0f}")
        self._console.print(table)

    def arrive(self) -> None:
        """Time how long a scanner waits at a new site."""
        title = "From evidence to open port, beyond a dwell of one second (the box looks once a second): seconds"
        table = Table("evidence", title=title, title_justify="left")
        for heading in ("contained", "slowest", "plain", "slowest", "contained/plain"):
            table.add_column(heading, justify="right")
        for arrival in arrive.ARRIVALS:
            found = [arrive.waits(self._fresh(), arrival, self._rounds, contained=kind) for kind in (True, False)]
            medians = [statistics.median(waits) for waits in found]
            figures = [f"{figure:.2f}" for waits in found for figure in (statistics.median(waits), max(waits))]
            table.add_row(arrival.name, *figures, f"{medians[0] / medians[1]:.2f}x")
        self._console.print(table)

    def geofence(self) -> None:
        """Hold positions against all areas of a large fleet."""
        areas, places = geofence.fleet(self._sites)
        title = f"Positions held against {self._sites:,} polygons of {geofence.CORNERS} corners"
        table = Table("way", title=title, title_justify="left")
        for heading in ("positions/s", "polygons/s", "box/way", "to load, s"):
            table.add_column(heading, justify="right")
        rates: defaultdict[str, list[float]] = defaultdict(list)
        loads: defaultdict[str, list[float]] = defaultdict(list)
        for number in range(self._rounds):
            ways = {name: make(areas) for name, make in geofence.WAYS.items()}
            if not number:
                geofence.agree(ways, places[:10])
            for name, way in ways.items():
                loads[name].append(way.load)
                rates[name].append(geofence.rate(way, places, 2.0))
        ours = statistics.median(rates[geofence.OURS])
        for name, found in rates.items():
            each = statistics.median(found)
            share = "" if name == geofence.OURS else f"{ours / each:.4g}x"
            table.add_row(
                name, f"{each:,.1f}", f"{each * self._sites:,.0f}", share, f"{statistics.median(loads[name]):.2f}"
            )
        self._console.print(table)

    def container(self) -> None:
        """Start a runtime, and receive, in a container and in none."""
        table = Table("", title="A runtime in a container, and as an ordinary process", title_justify="left")
        for heading in ("contained", "plain", "contained/plain"):
            table.add_column(heading, justify="right")
        took = container.starts(self._fresh(), max(5, self._rounds))
        table.add_row(
            "from activation to open port, s", *(f"{each:.2f}" for each in took.values()), _ratio(list(took.values()))
        )
        for workload in self._kinds:
            load = Load.of(workload, self._folder / "images")
            rounds: defaultdict[str, list[Round]] = defaultdict(list)
            for _ in range(self._rounds):
                for name in ("capacitord", UNCONTAINED):
                    rounds[name].append(one_round(name, self._fresh(), load, nagle=False))
            found = [summary(each, workload) for each in rounds.values()]
            rates, costs = [each.rate for each in found], [each.cpu_per_gib for each in found]
            table.add_row(f"{workload.name}, img/s", *(f"{rate:,.0f}" for rate in rates), _ratio(rates))
            table.add_row(f"{workload.name}, CPU s/GiB", *(f"{cost:.1f}" for cost in costs), _ratio(costs))
        self._console.print(table)


def _ratio(pair: list[float]) -> str:
    return f"{pair[0] / pair[1]:.2f}x"


def _receive_table(title: str) -> Table:
    table = Table("workload", title=title, title_justify="left")
    for heading in ("assoc.", *(f"{name} img/s" for name in RECEIVERS), "/Orthanc", "/storescp", "/1 assoc.",
                    "MiB/s", "CPU s/GiB", "peak MiB"):  # fmt: skip
        table.add_column(heading, justify="right")
    return table


def _add_row(table: Table, name: str, associations: int, results: dict[str, Result], scaling: float) -> None:
    ours = results["capacitord"]
    table.add_row(
        name,
        str(associations),
        *(f"{results[each].rate:,.0f}" for each in RECEIVERS),
        f"{ours.rate / results['Orthanc'].rate:.2f}x",
        f"{ours.rate / results['storescp'].rate:.2f}x",
        f"{scaling:.2f}x",
        f"{ours.mebibytes:,.0f}",
        " ".join(f"{results[each].cpu_per_gib:.1f}" for each in RECEIVERS),
        " ".join(f"{results[each].peak:.0f}" for each in RECEIVERS),
    )


if __name__ == "__main__":
    sys.exit(main())
