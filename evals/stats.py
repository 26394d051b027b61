"""Means, confidence intervals and the paired tests that compare two runs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

Z95 = 1.959964  # two-sided 95 % quantile of the normal distribution
BOOTSTRAP_DRAWS = 10_000


class Interval(NamedTuple):
    """A 95 % confidence interval of a mean, and the number of clusters it was estimated from."""

    low: float
    high: float
    clusters: int


def ratio(part: float, whole: float) -> float:
    """Return part / whole, or 0 when whole is 0."""
    return part / whole if whole else 0.0


def mean(values: Iterable[float]) -> float:
    """Return the arithmetic mean, or 0 for no values."""
    items = list(values)
    return ratio(math.fsum(items), len(items))


def format_rate(rate: float, total: float = 1) -> str:
    """Return a rate of 0 to 1 as a percentage with two decimals, or "n/a" when it is a rate of 0 samples."""
    return f"{100 * rate:.2f} %" if total else "n/a"


def wilson(successes: float, total: float, z: float = Z95) -> tuple[float, float]:
    """Return the Wilson score interval of a proportion, at 95 % by default; (0, 1) when total is 0."""
    if total == 0:
        return 0.0, 1.0
    proportion, z2_n = successes / total, z * z / total
    center = (proportion + z2_n / 2) / (1 + z2_n)
    margin = math.sqrt(proportion * (1 - proportion) * z2_n + z2_n * z2_n / 4) / (1 + z2_n)
    return max(0.0, center - margin), min(1.0, center + margin)


def clustered_interval(samples: Iterable[tuple[str, float]]) -> Interval:
    """Return the 95 % interval of the mean score of clustered samples.

    The variance of the mean is estimated from the clusters' sums of residuals (the cluster-robust variance of a
    regression on a constant). It is converted to the number of independent samples with the same variance, at most
    the real number, and Wilson's formula is applied, which stays within 0 and 1. When every sample has the same score
    the variance is 0; each cluster then counts as one sample.

    Args:
        samples: (cluster, score) of each sample; scores are 0 to 1.
    """
    pairs = list(samples)
    if not pairs:
        return Interval(0.0, 1.0, 0)
    total, average = len(pairs), mean(score for _, score in pairs)
    residuals: dict[str, float] = defaultdict(float)
    for cluster, score in pairs:
        residuals[cluster] += score - average
    clusters = len(residuals)
    variance = math.fsum(r * r for r in residuals.values()) / total**2 * clusters / max(clusters - 1, 1)
    bernoulli = average * (1 - average)
    n = min(float(total), bernoulli / variance) if variance > 1e-12 and bernoulli > 1e-12 else float(clusters)
    return Interval(*wilson(average * n, n), clusters)


def mcnemar(only_a: int, only_b: int) -> float:
    """Return the two-sided p value of McNemar's exact test.

    Args:
        only_a: Number of tasks that only run A solved.
        only_b: Number of tasks that only run B solved.
    """
    total, fewer = only_a + only_b, min(only_a, only_b)
    if only_a == only_b:
        return 1.0
    tail = sum(math.comb(total, k) for k in range(fewer + 1))
    return min(1.0, float(2 * tail / 2**total)) if total < 1000 else min(1.0, _normal_tail(only_a, only_b))


def _normal_tail(only_a: int, only_b: int) -> float:
    """Return the normal approximation with Edwards' correction; above 1,000 tasks it agrees with the exact test."""
    z = max(0.0, abs(only_a - only_b) - 1) / math.sqrt(only_a + only_b)
    return math.erfc(z / math.sqrt(2))


def bootstrap(clusters: Sequence[Sequence[float]], seed: int, draws: int = BOOTSTRAP_DRAWS) -> tuple[float, float]:
    """Return the 95 % percentile interval of the mean over samples, resampling whole clusters with replacement."""
    import numpy as np

    sums = np.array([math.fsum(cluster) for cluster in clusters])
    sizes = np.array([len(cluster) for cluster in clusters], dtype=float)
    rng = np.random.default_rng(seed)
    means = np.empty(draws)
    for n in range(draws):
        picks = rng.integers(len(sums), size=len(sums))
        means[n] = sums[picks].sum() / sizes[picks].sum()
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)
