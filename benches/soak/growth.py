"""Judges whether a series of measurements grows. Pure: no files, no clock.

The median of the last quarter is compared with the median of the second; the first quarter is warm-up, in which caches
fill and threads start. Medians, because a few minutes may be disturbed by anything, and quarters far apart, because a
leak is what is still growing in the second half. The difference may be as large as the series' own allowance, plus
three standard errors of the two medians: what a series that does not grow exceeds once in hundreds of runs. A steady
growth cannot hide in its own spread: within a quarter it is much smaller than across two.
"""

import math
from dataclasses import dataclass
from statistics import median

# Fewer would be less than two in a quarter.
LEAST_VALUES = 8

# The standard error of a median of n values with deviation 1 is this divided by the root of n, for the normal
# distribution; and so many median absolute deviations are its standard deviation.
MEDIAN_ERROR = 1.2533
DEVIATIONS = 1.4826

ERRORS_ALLOWED = 3


@dataclass(frozen=True)
class Allowance:
    """How much the medians may differ: the larger of `absolute`, in the unit of the series, and `share` of its level."""

    absolute: float
    share: float = 0.0
    # Whether falling is as bad as growing, as for an offset between two clocks.
    both_ways: bool = False


@dataclass(frozen=True)
class Judgement:
    before: float
    after: float
    allowed: float
    grows: bool

    @property
    def growth(self):
        return self.after - self.before


def judge(values, allowance):
    """Judges a series, in which `None` is a missing value; `None` if there are too few values."""
    values = [value for value in values if value is not None]
    if len(values) < LEAST_VALUES:
        return None
    quarter = len(values) // 4
    second, last = values[quarter : 2 * quarter], values[-quarter:]
    before, after = median(second), median(last)
    noise = ERRORS_ALLOWED * math.hypot(_median_error(second), _median_error(last))
    allowed = max(allowance.absolute, allowance.share * abs(before)) + noise
    growth = abs(after - before) if allowance.both_ways else after - before
    return Judgement(before, after, allowed, growth > allowed)


def _median_error(values):
    middle = median(values)
    deviation = DEVIATIONS * median(abs(value - middle) for value in values)
    return MEDIAN_ERROR * deviation / math.sqrt(len(values))
