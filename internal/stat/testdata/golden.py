"""Writes golden.json: values of tails, quantiles and corrections, computed by
SciPy, statsmodels and mpmath, for the tests of this package.

Run: pip install scipy==1.17.1 statsmodels mpmath && python3 golden.py > golden.json
"""
import json
import sys

import mpmath as mp
import numpy as np
from scipy import special, stats
from statsmodels.stats.multitest import multipletests

mp.mp.dps = 40
out = []


def add(function, args, want):
    out.append({"function": function, "args": [float(a) for a in args], "want": float(want)})


for z in [0, 1, 1.96, 5, 9, 10, 37, -1, -9]:
    add("Normal", [z], stats.norm.sf(z))
for p in [0.5, 0.05, 1e-3, 1e-10, 1e-100, 0.999]:
    add("NormalQuantile", [p], stats.norm.isf(p))
for x, df in [(3.84, 1), (300, 1), (1400, 1), (10, 9), (900, 9), (9.05844155844, 4), (1200, 1000), (1.01e6, 1e6), (1.05e6, 1e6), (1e-10, 1), (0, 3), (5, 0.7)]:
    add("ChiSquare", [x, df], stats.chi2.sf(x, df))
for p, df in [(0.05, 9), (0.05, 1), (1e-3, 9), (1e-12, 9), (1e-20, 1), (0.05, 1e6), (0.999, 9), (1e-4, 999), (0.05, 2.7)]:
    add("ChiSquareQuantile", [p, df], stats.chi2.isf(p, df))
for x, a in [(3, 2.5), (100, 2.5), (700, 0.5)]:
    add("Gamma", [x, a], special.gammaincc(a, x))
for k, m in [(1, 0.5), (50, 5), (5, 1e-9), (200, 50), (10300, 10000), (1.005e6, 1e6), (0, 3)]:
    add("Poisson", [k, m], stats.poisson.sf(k - 1, m))
for t, df in [(2, 5), (10, 5), (50, 7.367), (1e4, 3), (1e-9, 10), (3, 1e6), (30, 1e6), (37, 1e9), (5, 1e15), (5, 1998.2), (1.37198868114, 7.36796111066), (-2, 4), (3, 1), (0, 8), (1e6, 1), (0.2, 1e8)]:
    add("Student", [t, df], stats.t.sf(t, df))
for p, df in [(0.025, 9), (0.00135, 9), (1e-10, 3), (0.025, 1e6), (0.3, 1), (0.6, 5)]:
    add("StudentQuantile", [p, df], stats.t.isf(p, df))
for f, a, b in [(2, 3, 20), (50, 3, 20), (1e4, 2, 77), (1.95673076923, 2, 77), (20, 10, 1e4), (0.1, 3, 20), (1.2, 1000, 1e5), (2, 1000, 1e5), (1.01, 1e6, 1e6), (1.001, 1e7, 1e7), (3, 1, 1e8), (0.5, 1, 1), (2, 7, 1)]:
    add("F", [f, a, b], stats.f.sf(f, a, b))
for p, a, b in [(0.05, 3, 20), (1e-6, 2, 77), (0.9, 5, 9), (0.01, 1000, 1e5)]:
    add("FQuantile", [p, a, b], stats.f.isf(p, a, b))
for k, n, p in [(3, 500, 0.003), (30, 100, 0.1), (60, 100, 0.1), (1000, 1000, 0.5), (5200, 10000, 0.5), (510000, 1000000, 0.5), (10, 100, 1e-6), (1, 10, 0.2), (4, 2**40, 1e-12), (3, 10**9, 1e-9), (100, 10**9, 1e-9), (10, 10, 0.9), (2, 10, 0.9)]:
    add("Binomial", [k, n, p], special.betainc(k, n - k + 1, p))
    if k < n:
        add("BinomialLower", [k, n, p], special.betainc(n - k, k + 1, 1 - p) if p > 0.01 else special.betaincc(k + 1, n - k, p))


def betabinomial(u, m, a, b):
    """P(X >= u), by its terms in 40 digits."""
    total, term = mp.mpf(0), mp.binomial(m, u) * mp.beta(u + a, m - u + b) / mp.beta(a, b)
    for k in range(u, m + 1):
        total += term
        term *= mp.mpf(m - k) / (k + 1) * (k + a) / (m - k - 1 + b) if k < m else 0
    return total


for u, m, f1, n in [(3, 500, 2, 1000), (1, 50, 0, 100), (0, 50, 0, 100), (40, 1000, 3, 1000), (900, 1000, 5, 20), (1, 10000, 30, 1000), (200, 10000, 30, 1000)]:
    add("BetaBinomial", [u, m, f1 + 1, n - f1], betabinomial(u, m, f1 + 1, n - f1))

for a, n, b, m in [(2, 40, 7, 35), (500, 1000, 545, 1000), (0, 100, 0, 50), (0, 1000, 9, 100), (10, 10, 0, 10), (3, 1000000, 4, 1000), (0, 10**6, 60, 10**6), (5, 5, 5, 5), (1, 2, 3, 1000)]:
    add("Fisher", [a, n, b, m], stats.fisher_exact([[a, n - a], [b, m - b]])[1])
    h = stats.hypergeom(n + m, a + b, m)
    k = np.arange(max(0, a + b - n), min(a + b, m) + 1)
    if k.size == 1:
        continue  # no other table is possible: 1 by convention
    p = h.pmf(k)
    seen = h.pmf(b)
    equal = np.abs(p / seen - 1) < 1e-7
    add("FisherMid", [a, n, b, m], p[(p < seen) & ~equal].sum() + p[equal].sum() / 2)

for l in [0.2, 0.5, 1, 1.18, 1.25, 1.6276, 3, 10, 18]:
    add("Kolmogorov", [l], special.kolmogorov(l))
for p in [0.05, 0.01, 1e-10, 0.9]:
    add("KolmogorovQuantile", [p], special.kolmogi(p))


def bridge(lam, grid):
    """The chance that a bridge leaves ±lam on the grid, on 4,001 points of Simpson's rule."""
    x = np.linspace(-lam, lam, 4001)
    w = np.full(x.size, 2.0)
    w[1::2] = 4
    w[0] = w[-1] = 1
    w *= (x[1] - x[0]) / 3
    f = stats.norm.pdf(x, scale=np.sqrt(grid[0] * (1 - grid[0])))
    for a, b in zip(grid, grid[1:]):
        k = (1 - b) / (1 - a)
        f = stats.norm.pdf(x[:, None], k * x[None, :], np.sqrt((b - a) * k)) @ (w * f)
    return 1 - w @ f


for lam, grid in [(1.2, [i / 10 for i in range(1, 10)]), (0.7, [i / 10 for i in range(1, 10)]), (2.0, [0.1, 0.15, 0.9]), (1.3, [i / 40 for i in range(1, 40)])]:
    add("Bridge", [lam, *grid], bridge(lam, grid))
add("Bridge", [1.3, 0.5], 2 * stats.norm.sf(2.6))


def weighted(q, lam):
    """P(sum lam·chi2 > q) in 40 digits: the density's Laplace transform inverted by mpmath."""
    lam = [mp.mpf(v) for v in lam]
    f = lambda s: mp.fprod((1 + 2 * v * s) ** mp.mpf(-0.5) for v in lam) / s
    return 1 - mp.invertlaplace(f, q, method="talbot", degree=60)


for q, lam in [(3, [0.5, 0.3, 0.2]), (0.05, [0.5, 0.3, 0.2]), (30, [0.5, 0.3, 0.2]), (2, [1]), (60, [1, 0.001]), (1.2, [1 / (k * np.pi) ** 2 for k in range(1, 60)]), (0.461, [1 / (k * np.pi) ** 2 for k in range(1, 60)])]:
    add("Imhof", [q, *lam], weighted(q, lam))


def squares(q, grid, weights):
    """The same with the eigenvalues of the matrix, in 40 digits."""
    n = len(grid)
    t, w = [mp.mpf(v) for v in grid], [mp.mpf(v) for v in weights]
    a = mp.matrix(n, n)
    for i in range(n):
        for j in range(n):
            a[i, j] = mp.sqrt(w[i] * w[j]) * (min(t[i], t[j]) - t[i] * t[j])
    return weighted(q, list(mp.eigsy(a, eigvals_only=True)))


x = np.cumsum([30, 45, 55, 35, 15]) / 180
for q, grid, weights in [
    (0.497492283951, x[:-1], np.array([30, 45, 55, 35]) / 180),
    (2.5, x[:-1], np.array([30, 45, 55, 35]) / 180),
    (1.2, [1e-7, 0.3, 0.6, 0.600001, 1 - 1e-9], [1e-7, 0.3, 0.3, 1e-6, 0.4]),
    (0.4, [i / 20 for i in range(1, 20)], [1 / 20] * 19),
    (3.0, [i / 20 for i in range(1, 20)], [20 / i / (20 - i) for i in range(1, 20)]),
]:
    out.append({"function": "BridgeSquares", "args": [q], "grid": list(grid), "weights": list(weights), "want": float(squares(q, grid, weights))})


def smirnov(r, c):
    """Schröer and Trenkler's p-value by whole numbers of paths."""
    n, m = sum(r), sum(c)
    cr, cc = np.cumsum(r), np.cumsum(c)
    ends, reach = set((cr + cc).tolist()), int(np.abs(cr * m - cc * n).max())
    paths = [[0] * (m + 1) for _ in range(n + 1)]
    for i in range(n + 1):
        for j in range(m + 1):
            ways = 1 if i + j == 0 else (paths[i - 1][j] if i else 0) + (paths[i][j - 1] if j else 0)
            paths[i][j] = 0 if i + j in ends and abs(i * m - j * n) >= reach else ways
    return 1 - mp.mpf(paths[n][m]) / mp.binomial(n + m, n)


for r, c in [([20, 30, 25, 15, 10], [10, 15, 30, 20, 5]), ([5, 5], [9, 1]), ([10, 0, 0], [0, 0, 12]), ([1] * 30, [1] * 30), ([3, 1, 4, 1, 5], [9, 2, 6, 5, 3])]:
    out.append({"function": "Smirnov", "reference": r, "current": c, "want": float(smirnov(r, c))})
# Without ties it is the usual exact test.
x, y = np.arange(0, 40, 2), np.array([1, 3, 5, 7, 9, 11, 13, 45, 47, 49, 51, 53])
order = np.sort(np.r_[x, y])
out.append({"function": "Smirnov", "reference": [int(v in x) for v in order], "current": [int(v in y) for v in order], "want": float(stats.ks_2samp(x, y, method="exact").pvalue)})

for p in [[0.01, 0.04, 0.03, 0.005], [0.5], [0.2, 0.2, 0.9, 1e-9, 0.04, 0.04]]:
    for name, method in [("Bonferroni", "bonferroni"), ("Holm", "holm"), ("BenjaminiHochberg", "fdr_bh")]:
        out.append({"function": name, "args": p, "list": multipletests(p, method=method)[1].tolist()})

json.dump(out, sys.stdout, indent=0)
print()
