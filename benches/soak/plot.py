"""Draws the table of a soak as an SVG: one panel below the other with a common axis of time. Pure: text from numbers."""

from html import escape
from math import ceil, floor

WIDTH = 1100
LEFT, RIGHT = 80, 270
HEAD = 56
PANEL, GAP = 120, 46
FOOT = 56

# Of the palette by Okabe and Ito, which people who are colour-blind can tell apart.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")

STYLE = (
    "text{font:13px sans-serif;fill:#222}.title{font-size:17px;font-weight:bold}.name{font-weight:bold}"
    ".tick{font-size:11px;fill:#555}.grid{stroke:#ddd}.frame{fill:none;stroke:#999}"
    ".line{fill:none;stroke-width:1.6;stroke-linejoin:round}.away{fill:#bbb;fill-opacity:.45}.fault{stroke:#888}"
)


class Panel:
    """A panel: its name with the unit, and its lines as pairs of legend and values (`None` is a gap)."""

    def __init__(self, name, lines, from_zero=True):
        self.name = name
        self.lines = lines
        self.from_zero = from_zero


def draw(title, hours, panels, outages, faults, verdicts):
    """The SVG.

    `hours` are the times of the values; `outages` are pairs of hours in which there was no network; `faults` are the
    hours of faults of cameras; `verdicts` is a line of text for each judged series.
    """
    # What was judged stands below the panels, in two columns.
    rows = (len(verdicts) + 1) // 2
    height = HEAD + len(panels) * (PANEL + GAP) + FOOT + 20 * rows
    end = max([*hours, 1e-6])
    in_minutes = end < 2
    unit = "minutes" if in_minutes else "hours"
    scale = 60 if in_minutes else 1
    across = WIDTH - LEFT - RIGHT

    def x(hour):
        return LEFT + across * min(hour / end, 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}">',
        f"<style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text class="title" x="{LEFT}" y="28">{escape(title)}</text>',
    ]
    for number, panel in enumerate(panels):
        top = HEAD + number * (PANEL + GAP)
        parts += _panel(panel, top, hours, x, outages, faults, number == 0)
        for tick in _ticks(0, end * scale):
            at = x(tick / scale)
            parts.append(f'<text class="tick" x="{at:.1f}" y="{top + PANEL + 14}" text-anchor="middle">{_text(tick)}</text>')
    bottom = HEAD + len(panels) * (PANEL + GAP)
    parts.append(f'<text x="{LEFT + across / 2}" y="{bottom + 14}" text-anchor="middle">time in {unit}</text>')
    for number, verdict in enumerate(verdicts):
        column, row = divmod(number, rows)
        at = LEFT + column * (WIDTH - LEFT) / 2
        parts.append(f'<text x="{at}" y="{bottom + FOOT - 8 + 20 * row}">{escape(verdict)}</text>')
    return "\n".join([*parts, "</svg>\n"])


def _panel(panel, top, hours, x, outages, faults, explain):
    values = [value for _, line in panel.lines for value in line if value is not None]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if panel.from_zero:
        low = min(low, 0.0)
    room = (high - low) * 0.06 or 0.5
    high += room
    if low != 0:
        low -= room

    def y(value):
        return top + PANEL * (high - value) / (high - low)

    right = x(float("inf"))
    parts = [f'<text class="name" x="{LEFT}" y="{top - 7}">{escape(panel.name)}</text>']
    for begin, end in outages:
        wide = max(x(end) - x(begin), 1)
        parts.append(f'<rect class="away" x="{x(begin):.1f}" y="{top}" width="{wide:.1f}" height="{PANEL}"/>')
    for tick in _ticks(low, high, 5):
        at = y(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{_text(tick)}</text>')
    for fault in faults:
        parts.append(f'<line class="fault" x1="{x(fault):.1f}" x2="{x(fault):.1f}" y1="{top + PANEL}" y2="{top + PANEL - 7}"/>')
    parts.append(f'<rect class="frame" x="{LEFT}" y="{top}" width="{right - LEFT}" height="{PANEL}"/>')
    legend = top + 14
    for (name, line), colour in zip(panel.lines, COLOURS):
        for piece in _pieces(hours, line):
            points = " ".join(f"{x(hour):.1f},{y(value):.1f}" for hour, value in piece)
            if len(piece) == 1:
                hour, value = piece[0]
                parts.append(f'<circle cx="{x(hour):.1f}" cy="{y(value):.1f}" r="1.5" fill="{colour}"/>')
            parts.append(f'<polyline class="line" stroke="{colour}" points="{points}"/>')
        parts.append(f'<line class="line" stroke="{colour}" x1="{right + 14}" x2="{right + 38}" y1="{legend - 4}" y2="{legend - 4}"/>')
        parts.append(f'<text x="{right + 45}" y="{legend}">{escape(name)}</text>')
        legend += 20
    if explain:
        parts.append(f'<rect class="away" x="{right + 14}" y="{legend - 11}" width="24" height="12"/>')
        parts.append(f'<text x="{right + 45}" y="{legend}">no network</text>')
        parts.append(f'<line class="fault" x1="{right + 26}" x2="{right + 26}" y1="{legend + 8}" y2="{legend + 20}"/>')
        parts.append(f'<text x="{right + 45}" y="{legend + 20}">fault of a camera</text>')
    return parts


def _pieces(hours, line):
    """The line without its gaps."""
    piece = []
    for hour, value in zip(hours, line):
        if value is not None:
            piece.append((hour, value))
        elif piece:
            yield piece
            piece = []
    if piece:
        yield piece


def _ticks(low, high, at_most=8):
    """Round numbers between two values."""
    step = next(step for step in _steps() if (high - low) / step <= at_most)
    return [number * step for number in range(ceil(low / step), floor(high / step + 1e-9) + 1)]


def _steps():
    """1, 2, 5, 10 and so on, from very small ones on."""
    for exponent in range(-9, 13):
        for factor in (1, 2, 5):
            yield factor * 10.0**exponent


def _text(value):
    return f"{value:.6g}"
