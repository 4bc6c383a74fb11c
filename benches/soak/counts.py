"""What a soak measures and counts between two rows of its table."""

from statistics import median

# Failures that are kept in words; all are counted.
WORDS = 50


class Counts:
    """Filled by everything that runs; emptied by each row."""

    def __init__(self):
        # Since the start.
        self.failures = 0
        self.all_joins = 0
        self.words = []
        self._begin()

    def _begin(self):
        self.joins = self.vanished = self.switches = self.restarts = self.lost = 0
        self.camera_faults = self.network_restarts = self.failed = 0
        self.join_ms, self.readings = [], []
        self.picture_ms, self.sound_ms, self.picture_clock_ms, self.sound_clock_ms = [], [], [], []

    def fail(self, words):
        """Something that should not have failed."""
        self.failed += 1
        self.failures += 1
        if len(self.words) < WORDS:
            self.words.append(words)

    def measure(self, event):
        """An event of the viewer that decodes."""
        kind = event["event"]
        if kind == "frame":
            _keep(self.picture_ms, event.get("latency_ms"))
            _keep(self.picture_clock_ms, event.get("clock_ms"))
        elif kind == "sound":
            _keep(self.sound_ms, event.get("latency_ms"))
            _keep(self.sound_clock_ms, event.get("clock_ms"))
        elif kind == "lost":
            self.lost += event["packets"]

    def row(self, hours):
        """The row of the table, by column; begins anew."""
        def middle(name):
            return _median([reading[name] for reading in self.readings])

        picture_clock, sound_clock = _median(self.picture_clock_ms), _median(self.sound_clock_ms)
        is_known = picture_clock is not None and sound_clock is not None
        first, last = (self.readings[0], self.readings[-1]) if self.readings else (None, None)
        row = {
            "hours": hours,
            "rss_mib": middle("rss"),
            "pss_mib": middle("pss"),
            "descriptors": middle("descriptors"),
            "threads": middle("threads"),
            "viewers": middle("viewers"),
            "tasks": middle("tasks"),
            "cpu_percent": 100 * (last["cpu"] - first["cpu"]) / (last["at"] - first["at"]) if first is not last else None,
            "picture_ms": _median(self.picture_ms),
            "picture_p95_ms": _percentile(self.picture_ms, 0.95),
            "sound_ms": _median(self.sound_ms),
            "picture_clock_ms": picture_clock,
            "sound_clock_ms": sound_clock,
            "sound_after_picture_ms": sound_clock - picture_clock if is_known else None,
            "join_ms": _median(self.join_ms),
            "joins": self.joins,
            "failed": self.failed,
            "vanished": self.vanished,
            "lost_packets": self.lost,
            "switches": self.switches,
            "camera_faults": self.camera_faults,
            "network_restarts": self.network_restarts,
            "watchers_restarted": self.restarts,
        }
        self.all_joins += self.joins
        self._begin()
        return row


def _keep(values, value):
    if value is not None:
        values.append(value)


def _median(values):
    values = [value for value in values if value is not None]
    return median(values) if values else None


def _percentile(values, share):
    return sorted(values)[int(share * (len(values) - 1))] if values else None
