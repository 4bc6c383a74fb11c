"""Tests of how the output of viewers is read."""

import unittest

from viewers import read_event


class Events(unittest.TestCase):
    def test_a_viewer_that_is_killed_in_the_middle_of_a_line_has_ended(self):
        self.assertEqual(read_event(b'{"event":"frame","ms":1.5}\n'), {"event": "frame", "ms": 1.5})
        self.assertIsNone(read_event(b'{"event":"fra'))
        self.assertIsNone(read_event(b""))


if __name__ == "__main__":
    unittest.main()
