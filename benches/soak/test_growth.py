"""Tests of the judgement: what grows is found, what is only restless is not."""

import random
import unittest

from growth import Allowance, judge

MEMORY = Allowance(absolute=1.0, share=0.05)


def noisy(count, deviation, seed, level=30.0, each=0.0):
    """A series around `level` that grows by `each` from value to value."""
    noise = random.Random(seed)
    return [level + each * number + noise.gauss(0, deviation) for number in range(count)]


class Growth(unittest.TestCase):
    def test_a_flat_noisy_series_passes(self):
        for seed in range(100):
            for count in (16, 120, 480):
                judgement = judge(noisy(count, 4.0, seed), MEMORY)
                self.assertFalse(judgement.grows, f"{judgement}, seed {seed}, {count} values")

    def test_a_series_that_grows_under_the_noise_fails(self):
        # 6 MiB in the hour between the two quarters of a run of two hours.
        for seed in range(100):
            self.assertTrue(judge(noisy(120, 1.0, seed, each=0.1), MEMORY).grows, f"seed {seed}")

    def test_a_series_that_grows_steadily_fails_at_any_length(self):
        for count in (8, 60, 480):
            self.assertTrue(judge(noisy(count, 0, 1, each=40 / count), MEMORY).grows, f"{count} values")

    def test_a_series_that_grows_in_steps_fails(self):
        steps = [30.0 + 4 * (minute // 30) for minute in range(120)]
        self.assertTrue(judge(steps, MEMORY).grows)

    def test_warming_up_is_not_growth(self):
        self.assertFalse(judge([30.0 - 20.0 * 0.8**minute for minute in range(120)], MEMORY).grows)

    def test_a_few_wild_values_change_nothing(self):
        values = noisy(120, 0.5, 1)
        for minute in (95, 100, 110, 119):
            values[minute] = 900.0
        self.assertFalse(judge(values, MEMORY).grows)
        growing = noisy(120, 0.5, 1, each=0.2)
        for minute in (35, 40, 50):
            growing[minute] = 900.0
        self.assertTrue(judge(growing, MEMORY).grows)

    def test_one_more_thread_of_a_constant_number_is_within_its_allowance_and_three_are_not(self):
        threads = Allowance(absolute=2.0)
        self.assertFalse(judge([9] * 60 + [10] * 60, threads).grows)
        self.assertTrue(judge([9] * 60 + [12] * 60, threads).grows)

    def test_an_offset_may_not_fall_either(self):
        falling = noisy(120, 1.0, 1, level=0.0, each=-0.5)
        self.assertFalse(judge(falling, Allowance(absolute=5.0)).grows)
        self.assertTrue(judge(falling, Allowance(absolute=5.0, both_ways=True)).grows)

    def test_missing_values_are_left_out_and_too_few_are_not_judged(self):
        holes = [None if minute % 10 == 0 else value for minute, value in enumerate(noisy(120, 0.5, 1, each=0.2))]
        self.assertTrue(judge(holes, MEMORY).grows)
        self.assertIsNone(judge([1.0] * 7 + [None] * 100, MEMORY))


if __name__ == "__main__":
    unittest.main()
