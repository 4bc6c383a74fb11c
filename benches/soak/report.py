"""The report of a soak: which series are judged, and the table as CSV, Markdown and SVG."""

import csv

from growth import Allowance, judge
from plot import Panel, draw

# The judged columns: their name and unit, and how much their medians may differ, beside their spread.
JUDGED = {
    # The allocator's own fragments.
    "rss_mib": ("memory, RSS", "MiB", Allowance(1.5, 0.05)),
    "pss_mib": ("memory, PSS", "MiB", Allowance(1.5, 0.05)),
    # A camera more or less is open at a time.
    "descriptors": ("descriptors", "", Allowance(4)),
    "threads": ("threads", "", Allowance(2)),
    # As many sessions as two viewers more.
    "tasks": ("tasks", "", Allowance(6)),
    "viewers": ("sessions", "", Allowance(2)),
    # Less than a frame and than a packet: a queue that fills makes whole ones.
    "picture_ms": ("delay of the picture", "ms", Allowance(20)),
    "sound_ms": ("delay of sound", "ms", Allowance(15)),
    # A quarter of what people notice between lips and voice (ITU-R BT.1359).
    "sound_after_picture_ms": ("clock of sound against picture", "ms", Allowance(10, both_ways=True)),
    "join_ms": ("time to join", "ms", Allowance(50)),
}

# Shorter runs are tries of the soak itself: in the first minutes everything grows.
LEAST_HOURS = 0.25

# The share of joins that may fail while the network is there: a busy machine is slower than a viewer waits.
FAILED_SHARE = 0.01


class Report:
    def __init__(self, folder, facts):
        self.folder = folder
        # Pairs of what is said above the table.
        self.facts = facts
        self.rows = []
        # The hours of the cameras' faults, and pairs of hours without a network.
        self.faults, self.outages = [], []

    def add(self, row):
        self.rows.append(row)

    def judge(self, hours):
        """The sentences of the judgement, and those of them that are failures."""
        sentences, failures = [], []
        for column, (name, unit, allowance) in JUDGED.items():
            judgement = judge([row[column] for row in self.rows], allowance)
            if not judgement:
                sentences.append(f"{name}: too few values")
                continue
            sentence = (
                f"{name}: {judgement.before:.1f} to {judgement.after:.1f} {unit}".rstrip()
                + f", {judgement.growth:+.1f} of {judgement.allowed:.1f} allowed"
            )
            if judgement.grows and hours >= LEAST_HOURS:
                sentence = f"GROWS: {sentence}"
                failures.append(sentence)
            sentences.append(sentence)
        return sentences, failures

    def write(self, hours, ending):
        """Writes all files anew; `ending` are lines about how it ended."""
        sentences, failures = self.judge(hours)
        with open(self.folder / "soak.csv", "w", newline="") as file:
            table = csv.DictWriter(file, list(self.rows[0]))
            table.writeheader()
            table.writerows({name: _round(value) for name, value in row.items()} for row in self.rows)
        (self.folder / "soak.svg").write_text(self._plot(hours, sentences))
        (self.folder / "soak.md").write_text(self._markdown(hours, sentences, ending))
        return failures

    def _plot(self, hours, sentences):
        def lines(**names):
            return [(name.replace("_", " "), [row[column] for row in self.rows]) for name, column in names.items()]

        panels = [
            Panel("memory in MiB", lines(RSS="rss_mib", PSS="pss_mib")),
            Panel("descriptors and threads", lines(open_descriptors="descriptors", threads="threads")),
            Panel("sessions", lines(sessions="viewers")),
            Panel("delay from capture in ms, medians", lines(picture_decoded="picture_ms", sound_arrived="sound_ms")),
            # After a loss of network a player waits for what it has missed, for seconds.
            Panel("delay of the picture in ms, 95th percentile", lines(picture_decoded="picture_p95_ms")),
            Panel(
                "error of the streams' clocks in ms",
                lines(picture="picture_clock_ms", sound="sound_clock_ms"), from_zero=False,
            ),
            Panel("time from POST to first frame in ms", lines(median="join_ms")),
            Panel("CPU in % of a core", lines(porthole="cpu_percent")),
        ]
        title = f"Soak of {hours:.2f} hours, {dict(self.facts)['Date']}, {dict(self.facts)['Commit']}"
        return draw(title, [row["hours"] for row in self.rows], panels, self.outages, self.faults, sentences)

    def _markdown(self, hours, sentences, ending):
        too_short = f" It took less than {LEAST_HOURS} hours, so growth is shown and not judged."
        parts = [
            f"# Soak of {hours:.2f} hours", "", *ending, "", "![Plot](soak.svg)", "",
            "The second quarter of the time against the last, by medians." + too_short * (hours < LEAST_HOURS), "",
            *(f"- {sentence}" for sentence in sentences), "",
            "| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in self.facts), "",
        ]
        columns = list(self.rows[0])
        parts.append("| " + " | ".join(column.replace("_", " ") for column in columns) + " |")
        parts.append("|---" * len(columns) + "|")
        for row in self.rows:
            parts.append("| " + " | ".join(str(_round(row[column])) for column in columns) + " |")
        return "\n".join(parts) + "\n"


def _round(value):
    if value is None:
        return ""
    return round(value, 4 if abs(value) < 1 else 2) if isinstance(value, float) else value
