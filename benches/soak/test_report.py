"""Tests of the report: what it writes for made-up rows."""

import tempfile
import unittest
import xml.etree.ElementTree as xml
from pathlib import Path

from counts import Counts
from report import Report

READING = {"at": 0.0, "rss": 30.0, "pss": 25.0, "descriptors": 40, "threads": 9, "cpu": 1.0, "viewers": 3.0, "tasks": 20.0}
FRAME = {"event": "frame", "latency_ms": 12.0, "clock_ms": 1.0}
SOUND = {"event": "sound", "latency_ms": 30.0, "clock_ms": -1.0}


class Reports(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.report = Report(self.folder, [("Date", "<today>"), ("Commit", "abc")])

    def fill(self, each_minute):
        """Two hours; `each_minute` changes what is measured in a minute."""
        for minute in range(1, 121):
            counts = Counts()
            counts.readings = [dict(READING), {**READING, "at": 55.0}]
            counts.measure(FRAME)
            counts.measure(SOUND)
            each_minute(minute, counts)
            self.report.add(counts.row(minute / 60))

    def test_a_quiet_run_passes_and_is_drawn_in_full(self):
        self.fill(lambda minute, counts: None)
        self.report.outages, self.report.faults = [(0.5, 0.51)], [1.0]
        self.assertEqual(self.report.write(2, ["**Passed**."]), [])
        drawing = xml.parse(self.folder / "soak.svg").getroot()
        lines = drawing.findall("{http://www.w3.org/2000/svg}polyline")
        self.assertEqual(len(lines), 11, "two of memory, descriptors, threads, sessions, three delays, two clocks, CPU")
        self.assertEqual(len(lines[0].get("points").split()), 120)
        self.assertIn("**Passed**.", (self.folder / "soak.md").read_text())
        self.assertEqual(len((self.folder / "soak.csv").read_text().splitlines()), 121)

    def test_each_judged_series_is_judged(self):
        grown = {
            "memory, PSS": lambda minute, counts: counts.readings[0].update(pss=25 + minute / 10),
            "descriptors": lambda minute, counts: counts.readings[0].update(descriptors=40 + minute),
            "threads": lambda minute, counts: counts.readings[0].update(threads=9 + minute // 5),
            "sessions": lambda minute, counts: counts.readings[0].update(viewers=3 + minute / 5),
            "delay of the picture": lambda minute, counts: counts.measure({**FRAME, "latency_ms": 12 + 2 * minute}),
            "delay of sound": lambda minute, counts: counts.measure({**SOUND, "latency_ms": 30 + 2 * minute}),
            "clock of sound": lambda minute, counts: counts.measure({**SOUND, "clock_ms": -minute}),
        }
        for name, grow in grown.items():
            self.report.rows = []
            self.fill(grow)
            failures = self.report.write(2, [])
            self.assertEqual(len(failures), 1, f"{name}: {failures}")
            self.assertTrue(failures[0].startswith(f"GROWS: {name}"), failures)

    def test_a_minute_without_a_measurement_is_a_gap(self):
        def lose(minute, counts):
            if minute == 60:
                counts.picture_ms.clear()

        self.fill(lose)
        self.report.write(2, [])
        drawing = xml.parse(self.folder / "soak.svg").getroot()
        lines = drawing.findall("{http://www.w3.org/2000/svg}polyline")
        self.assertEqual(len(lines), 13, "both lines of the picture are in two pieces")


if __name__ == "__main__":
    unittest.main()
