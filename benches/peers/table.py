"""The table of the comparison, as Markdown."""

import os
import platform
import subprocess
import time
from pathlib import Path

from measure import middle, slope

# The work of other programs, in percent of a core, that affects the figures.
DISTURBED = 10

# What comes before the tables in the page that has the newest ones.
MARK = "<!-- what `benches/peers/run` printed -->\n"


def machine():
    """The date, the commit and the machine."""
    def output(*command):
        run = subprocess.run(command, cwd=Path(__file__).parent, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        return run.stdout.strip() if run.returncode == 0 else "unknown"

    info = Path("/proc/cpuinfo").read_text()
    names = [line.split(":", 1)[1].strip() for line in info.splitlines() if line.startswith("model name")]
    virtual = ", virtual machine" if "hypervisor" in info else ""
    return [
        ("Date", time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())),
        ("Commit", output("git", "rev-parse", "--short=12", "HEAD")),
        ("Processor", f"{(names or [platform.machine()])[0]}, {os.cpu_count()} cores{virtual}"),
        ("Kernel", f"{platform.system()} {platform.release()}"),
        ("Load average at the start", " ".join(Path("/proc/loadavg").read_text().split()[:3])),
    ]


def in_words(cell):
    return (
        f"{cell['cpu_percent']:.1f} % of a core, PSS {cell['pss_mib']:.1f} MiB, {100 * cell['delivered']:.0f} % of the pictures, "
        f"{cell['lost']} of {cell['packets']} packets lost, other programs {cell['others_percent']:.0f} %"
    )


def markdown(servers, mjpeg_servers, facts, viewers, cells, joins):
    """All tables. Servers are names, versions (`None`: not installed) and notes, the first is what the others are compared
    with; `cells` are the measurements, `joins` the joins by server."""
    parts = [*_costs("CPU, % of a core", "cpu_percent", servers, viewers, cells)]
    parts += _costs("Memory, PSS in MiB", "pss_mib", servers, viewers, cells)
    parts += _memory_rss(servers, viewers, cells)
    parts += _joins(servers, joins)
    parts += _delivered(servers, viewers, cells)
    if mjpeg_servers:
        fewer = [count for count in viewers if _at(cells, mjpeg_servers[0][0], count, "cpu_percent") != "-"]
        parts += _costs("MJPEG over HTTP: CPU, % of a core", "cpu_percent", mjpeg_servers, fewer, cells)
        parts += _costs("MJPEG over HTTP: memory, PSS in MiB", "pss_mib", mjpeg_servers, fewer, cells)
        parts += _delivered(mjpeg_servers, fewer, cells)
    parts += ["| Measured | |", "|---|---|"]
    parts += [f"| {name} | {value} |" for name, value in facts]
    for name, version, note in [*servers, *mjpeg_servers]:
        parts.append(f"| {name} | {version or 'not installed'}{f'; {note}' if note else ''} |")
    others = middle([cell["others_percent"] for cell in cells])
    if others is not None:
        warning = "; **they disturb the figures: do not trust them**" if others > DISTURBED else ""
        parts.append(f"| Other programs meanwhile | {others:.0f} % of a core (median){warning} |")
    return "\n".join(parts) + "\n"


def into_page(page, tables):
    """The text of a page with these tables in place of those after its mark."""
    head, mark, _ = page.partition(MARK)
    if not mark:
        raise ValueError(f"the page has no line {MARK.strip()}")
    return f"{head}{mark}\n{tables}"


def one_more(cells, name, column):
    """What one more viewer adds, by a line through all measurements of a server."""
    return slope((cell["viewers"], cell[column]) for cell in cells if cell["server"] == name)


def _costs(title, column, servers, viewers, cells):
    heads = [*(f"{count} viewer{'s' * (count != 1)}" for count in viewers), "one more viewer", "in relation"]
    parts = [f"| {title} | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    ours = one_more(cells, servers[0][0], column)
    for name, version, _ in servers:
        if not version:
            parts.append(f"| {name} | not installed" + " |" * (len(heads)))
            continue
        values = [_at(cells, name, count, column) for count in viewers]
        more = one_more(cells, name, column)
        relation = f"{more / ours:.2f}" if more and ours else "-"
        parts.append(f"| {name} | " + " | ".join([*values, "-" if more is None else f"{more:.2f}", relation]) + " |")
    return [*parts, ""]


def _memory_rss(servers, viewers, cells):
    column = "rss_mib"
    parts = ["| Memory, RSS in MiB | " + " | ".join(map(str, viewers)) + " |", "|---" * (len(viewers) + 1) + "|"]
    for name, version, _ in servers:
        if version:
            parts.append(f"| {name} | " + " | ".join(_at(cells, name, count, column) for count in viewers) + " |")
    return [*parts, ""]


def _delivered(servers, viewers, cells):
    parts = ["| Pictures delivered, % (packets lost) | " + " | ".join(map(str, viewers)) + " |", "|---" * (len(viewers) + 1) + "|"]
    for name, version, _ in servers:
        if not version:
            continue
        values = []
        for count in viewers:
            of = [cell for cell in cells if cell["server"] == name and cell["viewers"] == count]
            share = middle([cell["delivered"] for cell in of])
            values.append("-" if share is None else f"{100 * share:.0f} ({sum(cell['lost'] for cell in of)})")
        parts.append(f"| {name} | " + " | ".join(values) + " |")
    return [*parts, ""]


def _joins(servers, joins):
    parts = ["| From POST, ms, median (longest) | answer | first packet | first picture complete | joins |", "|---|---|---|---|---|"]
    for name, version, _ in servers:
        times = joins.get(name)
        if not times:
            continue
        values = []
        for column in ("answered_ms", "packet_ms", "picture_ms"):
            each = [join[column] for join in times]
            values.append(f"{middle(each):.0f} ({max(each):.0f})")
        parts.append(f"| {name} | " + " | ".join([*values, str(len(times))]) + " |")
    return [*parts, ""]


def _at(cells, name, count, column):
    value = middle([cell[column] for cell in cells if cell["server"] == name and cell["viewers"] == count])
    return "-" if value is None else f"{value:.1f}"
