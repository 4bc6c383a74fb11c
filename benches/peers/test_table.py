"""Tests of the table, and of what is computed for it, on made-up measurements."""

import os
import time
import unittest

from measure import cpu_seconds, memory_mib, slope, tree
from table import MARK, into_page, markdown, one_more

SERVERS = [("porthole", "1.0", ""), ("other", "2.0", "a note"), ("absent", None, "")]


def cell(server, viewers, cpu, delivered=1.0):
    return {
        "server": server, "viewers": viewers, "cpu_percent": cpu, "pss_mib": 10 + viewers, "rss_mib": 20 + viewers,
        "delivered": delivered, "lost": 0, "packets": 1000, "others_percent": 3,
    }


CELLS = [cell("porthole", count, 2 + 0.2 * count) for count in (1, 5, 10)] + [
    cell("other", count, 9 + 0.5 * count, delivered=0.5) for count in (1, 5, 10)
]
JOINS = {"porthole": [{"answered_ms": 1, "packet_ms": 10, "picture_ms": each} for each in (20, 30, 400)]}


class Table(unittest.TestCase):
    def setUp(self):
        self.lines = markdown(SERVERS, [], [("Date", "today")], [1, 5, 10], CELLS, JOINS).splitlines()

    def test_one_more_viewer_is_the_slope_and_is_compared_with_the_first_server(self):
        self.assertAlmostEqual(one_more(CELLS, "other", "cpu_percent"), 0.5)
        self.assertIn("| porthole | 2.2 | 3.0 | 4.0 | 0.20 | 1.00 |", self.lines)
        self.assertIn("| other | 9.5 | 11.5 | 14.0 | 0.50 | 2.50 |", self.lines)

    def test_a_server_that_is_not_there_is_told_and_has_no_figures(self):
        rows = [line for line in self.lines if line.startswith("| absent")]
        self.assertEqual(rows, ["| absent | not installed | | | | |"] * 2 + ["| absent | not installed |"])

    def test_pictures_that_were_not_delivered_are_told(self):
        self.assertIn("| other | 50 (0) | 50 (0) | 50 (0) |", self.lines)

    def test_joins_have_their_median_and_the_longest(self):
        self.assertIn("| porthole | 1 (1) | 10 (10) | 30 (400) | 3 |", self.lines)

    def test_each_row_has_as_many_cells_as_its_table(self):
        width = None
        for line in self.lines:
            if line and width is None:
                width = line.count("|")
            elif line:
                self.assertEqual(line.count("|"), width, line)
            else:
                width = None

    def test_other_programs_that_work_are_warned_of(self):
        self.assertIn("| Other programs meanwhile | 3 % of a core (median) |", self.lines)
        disturbed = [{**each, "others_percent": 40} for each in CELLS]
        self.assertIn("do not trust", markdown(SERVERS, [], [], [1, 5, 10], disturbed, JOINS))

    def test_the_page_keeps_what_is_above_its_tables(self):
        page = f"# Title\n\n{MARK}\n| old |\n"
        self.assertEqual(into_page(page, "| new |\n"), f"# Title\n\n{MARK}\n| new |\n")
        self.assertRaises(ValueError, into_page, "# Title\n", "| new |\n")


class Measure(unittest.TestCase):
    def test_a_slope_wants_two_places(self):
        self.assertIsNone(slope([(1, 5), (1, 6)]))
        self.assertAlmostEqual(slope([(1, 5), (2, 7), (3, 9)]), 2)

    def test_a_process_and_what_it_has_started_are_counted(self):
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
        try:
            pids = tree(os.getpid())
            self.assertIn(child, pids)
            self.assertGreater(memory_mib(pids)[0], memory_mib([child])[0])
            self.assertGreater(cpu_seconds(pids), cpu_seconds([child]))
        finally:
            os.kill(child, 9)
            os.waitpid(child, 0)


if __name__ == "__main__":
    unittest.main()
