"""Writes <detector>.json: statistics, p-values and thresholds of this package's
inputs, computed without driftmesh: statistics in 40 digits by mpmath, tails by
SciPy and statsmodels.

Run: pip install scipy==1.17.1 statsmodels mpmath && python3 golden.py
"""
import json
import math
import pathlib

import mpmath as mp
import numpy as np
from scipy import optimize, special, stats
from statsmodels.stats.proportion import proportions_ztest

mp.mp.dps = 40
HERE = pathlib.Path(__file__).resolve().parent
ALPHA = 0.05
NEVER = {"draw_below": 0}
M53 = 2**53

# name, kind, reference, current, and what else there is.
CASES = [
    ("running example", "values", [20, 30, 25, 15, 10], [10, 15, 30, 20, 5], {"bounds": [0, 1, 2, 4, 7, 11]}),
    ("far tail", "values", [1000, 1000, 1000, 1000], [1300, 900, 900, 900], {"bounds": [0, 1, 2, 3, 4]}),
    ("empty cell", "values", [137, 140, 131, 142], [40, 0, 33, 41], {"bounds": [-3, -1, 0, 1, 2]}),
    ("stray value", "values", [50, 50, 0, 100], [25, 24, 1, 50], {"bounds": [0, 1, 2, 3, 4]}),
    ("stray category", "categories", [500, 500, 1000], [250, 240, 500], {"unseen": 1}),
    ("many unseen", "categories", [500, 500, 1000, 3, 2, 1], [250, 200, 500, 0, 1, 0], {"unseen": 40}),
    ("unseen and rare", "categories", [500, 500, 1000, 6, 7, 5], [250, 200, 500, 1, 1, 2], {"unseen": 40}),
    ("ties", "values", [50, 149, 224, 224, 168, 101, 50, 22, 8, 3, 1], [61, 144, 230, 210, 170, 99, 55, 20, 8, 2, 1], {"bounds": list(range(12))}),
    ("binary", "categories", [500, 500], [455, 545], {}),
    ("binary values", "values", [500, 500], [455, 545], {"bounds": [0, 0.5, 1]}),
    ("large reference", "quantiles", [10000] * 10, [111, 93, 99, 120, 88, 95, 101, 104, 84, 105], {"bounds": [-4, -1.28, -0.84, -0.52, -0.25, 0, 0.25, 0.52, 0.84, 1.28, 4]}),
    ("small quantiles", "quantiles", [50] * 20, [3, 1, 0, 5, 2, 3, 4, 2, 1, 1, 6, 2, 3, 4, 0, 2, 5, 1, 3, 12], {"bounds": list(range(21))}),
    ("larger sample", "values", [30, 50, 20], [400, 400, 200], {"bounds": [0, 1, 3, 9]}),
    ("equal shares", "values", [30, 50, 20], [300, 500, 200], {"bounds": [0, 1, 3, 9]}),
    ("one cell", "values", [0, 700, 0], [0, 300, 0], {"bounds": [0, 1, 2, 3]}),
    ("all empty", "values", [0, 0, 0], [0, 0, 0], {"bounds": [0, 1, 2, 3]}),
    ("no sample", "values", [300, 200, 100], [0, 0, 0], {"bounds": [0, 1, 2, 3]}),
    ("no cells", "categories", [], [], {}),
    ("infinities", "values", [300, 400, 300], [250, 400, 300], {"bounds": [0, 1, 2, 3], "reference_inf": [5, 0], "current_inf": [10, 40]}),
    ("huge", "values", [M53 // 4, M53 // 2, M53 // 4], [M53 // 4 - 10**8, M53 // 2 + 2 * 10**8, M53 // 4 - 10**8], {"bounds": [0, 1, 2, 3]}),
    ("huge, small difference", "categories", [M53, M53 - 1], [M53 - 10**8, M53 + 10**8], {}),
    ("huge reference", "values", [M53 // 2, M53 // 2, M53 // 2], [300, 250, 350], {"bounds": [0, 1, 2, 3]}),
    ("many cells", "categories", None, None, {"generate": 1_000_000}),
]


def generate(n):
    i = np.arange(n)
    return (i % 7 * (i % 3) + 20).tolist(), (i % 5 + 20 + (i % 2)).tolist()


def table(case, with_inf=True):
    """The cells that exist, with their positions."""
    _, kind, r, c, more = case
    if "generate" in more:
        r, c = generate(more["generate"])
    r, c = list(r), list(c)
    if kind != "categories" and with_inf:
        for side, name in ((r, "reference_inf"), (c, "current_inf")):
            low, high = more.get(name, (0, 0))
            side[0] += low
            side[-1] += high
    r, c = r + [0], c + [more.get("unseen", 0)]
    return [(a, b, i) for i, (a, b) in enumerate(zip(r, c)) if a + b]


def merge(case, cells):
    kind, unseen = case[1], (len(case[2]) if case[2] is not None else case[4]["generate"])
    n, m = sum(a for a, _, _ in cells), sum(b for _, b, _ in cells)
    if kind == "quantiles":
        out, a, b = [], 0, 0
        for x, y, _ in cells:
            a, b = a + x, b + y
            if min(n, m) * a >= 5 * n:
                out.append([a, b])
                a = b = 0
        if out:
            out[-1][0] += a
            out[-1][1] += b
        else:
            out.append([a, b])
        return [tuple(v) for v in out]
    kept, rest = [], [0, 0]
    for a, b, i in cells:
        if i == unseen or (a + b) * min(n, m) < 5 * (n + m):
            rest[0] += a
            rest[1] += b
        else:
            kept.append((a, b))
    if rest == [0, 0]:
        return kept
    if kept and sum(rest) * min(n, m) < 5 * (n + m):
        k = min(range(len(kept)), key=lambda i: (sum(kept[i]), kept[i][0]))
        kept[k] = (kept[k][0] + rest[0], kept[k][1] + rest[1])
        return kept
    return kept + [tuple(rest)]


def compared(cells):
    return any(a for a, _, _ in cells) and any(b for _, b, _ in cells)


class Cells:
    """Exact shares for short tables, doubles for long ones."""

    def __init__(self, cells):
        self.pairs = [(a, b) for a, b, *_ in cells]
        number = mp.mpf if len(cells) < 1000 else float
        self.n, self.m = (number(sum(p[k] for p in self.pairs)) for k in (0, 1))
        self.log, self.sqrt = (mp.log, mp.sqrt) if number is mp.mpf else (math.log, math.sqrt)
        self.r = [number(a) for a, _ in self.pairs]
        self.c = [number(b) for _, b in self.pairs]
        self.p = [a / self.n for a in self.r]
        self.q = [b / self.m for b in self.c]
        self.pi = [(a + b) / (self.n + self.m) for a, b in self.pairs]
        self.s = 1 / self.n + 1 / self.m
        self.df = len(cells) - 1
        self.sigma = [self.sqrt(v * (1 - v) * self.s) for v in self.pi]

    def same(self):
        n, m = sum(a for a, _ in self.pairs), sum(b for _, b in self.pairs)
        return all(a * m == b * n for a, b in self.pairs)


def psi(x):
    h = (x.df + 1) / 2
    out = []
    for a, b in zip(x.r, x.c):
        p, q = (a + 0.5) / (x.n + h), (b + 0.5) / (x.m + h)
        out.append((p - q) * x.log(p / q))
    return out


def xlog(a, b, log):
    return a * log(a / b) if a else 0


PARTS = {
    "psi": psi,
    "chi_square": lambda x: [(x.m * a - x.n * b) ** 2 / (a + b) / (x.n * x.m) for a, b in zip(x.r, x.c)],
    # Σ(expected − observed) is 0 in each cell: it only makes the parts positive.
    "g": lambda x: [2 * (xlog(a, x.n * v, x.log) + xlog(b, x.m * v, x.log)) for a, b, v in zip(x.r, x.c, x.pi)],
    "jensen_shannon": lambda x: [(xlog(p, (p + q) / 2, x.log) + xlog(q, (p + q) / 2, x.log)) / 2 / x.log(2) for p, q in zip(x.p, x.q)],
    "hellinger": lambda x: [(x.sqrt(p) - x.sqrt(q)) ** 2 / 2 for p, q in zip(x.p, x.q)],
    "total_variation": lambda x: [abs(p - q) / 2 for p, q in zip(x.p, x.q)],
    "l_infinity": lambda x: [abs(p - q) for p, q in zip(x.p, x.q)],
}
ROOT = {"jensen_shannon", "hellinger"}


def distance(name, x):
    parts = PARTS[name](x)
    total = max(parts) if name == "l_infinity" else (math.fsum(parts) if x.df > 1000 else sum(parts))
    return x.sqrt(total) if name in ROOT else total


def williams(x):
    t = x.n + x.m
    return 1 + (t / x.n + t / x.m - 1) * (sum(1 / v for v in x.pi) - 1) / (6 * t * x.df)


def scale(name, x):
    return {"psi": lambda: x.s, "chi_square": lambda: 1, "g": lambda: williams(x), "jensen_shannon": lambda: x.s / (8 * mp.log(2)), "hellinger": lambda: x.s / 8}[name]()


def folded(rho):
    return 2 / math.pi * (math.sqrt(max(1 - rho * rho, 0)) + rho * math.asin(max(-1, min(1, rho))) - 1)


def variation(x):
    sigma, pi = np.array(x.sigma, float), np.array(x.pi, float)
    mean = math.sqrt(2 / math.pi) / 2 * sigma.sum()
    if len(pi) > 5000:  # the correlations' leading term
        full = (sigma**2).sum() * folded(1) + float(x.s) / math.pi * (((pi**1.5) / np.sqrt(1 - pi)).sum() ** 2 - (pi**3 / (1 - pi)).sum())
        return mean, full / 4
    odds = np.sqrt(pi / (1 - pi))
    rho = -np.outer(odds, odds)
    np.fill_diagonal(rho, 1)
    f = np.vectorize(folded)(rho)
    return mean, float((np.outer(sigma, sigma) * f).sum()) / 4


def tail(name, x, v):
    if name in ("total_variation", "l_infinity"):
        if x.df == 1:
            return 2 * stats.norm.sf(float(v / x.sigma[0]))
        if name == "l_infinity":
            return min(1, math.fsum(2 * stats.norm.sf(float(v) / np.array(x.sigma, float))))
        mean, var = variation(x)
        return stats.gamma.sf(float(v), mean * mean / var, scale=var / mean)
    if name in ROOT:
        v = v * v
    return stats.chi2.sf(float(v / scale(name, x)), x.df)


def critical(name, x):
    if name in ("total_variation", "l_infinity"):
        if x.df == 1:
            return float(x.sigma[0]) * stats.norm.isf(ALPHA / 2)
        if name == "l_infinity":
            return optimize.brentq(lambda d: tail(name, x, d) - ALPHA if tail(name, x, d) < 1 else 1, 0, 1, xtol=1e-16)
        mean, var = variation(x)
        return stats.gamma.isf(ALPHA, mean * mean / var, scale=var / mean)
    v = float(scale(name, x)) * stats.chi2.isf(ALPHA, x.df)
    return math.sqrt(v) if name in ROOT else v


def counted(name, case):
    cells = table(case)
    x = Cells(cells) if compared(cells) else None
    out = {}
    if not x:
        return {"statistic": 0}
    if len(cells) < 2:
        return {"statistic": 0, "p": 1, "method": "exact", "caveats": ["constant"]}
    same = x.same()
    out["statistic"] = 0 if same else float(distance(name, x))
    if x.df < 20 and name != "g" and not same:
        out["cells"] = [0.0] * len(case[2])
        for part, (_, _, i) in zip(PARTS[name](x), cells):
            if i < len(case[2]):
                out["cells"][i] = float(part)
    y = Cells(merge(case, cells))
    out["method"] = "asymptotic"
    if y.df < 1:
        return out | {"p": 1}
    if y.df < x.df:
        out["caveats"] = ["merged"]
    out["judged"] = 0 if same else float(distance(name, y))
    out["p"] = 1 if same else float(tail(name, y, distance(name, y)))
    out["threshold"] = float(critical(name, y))
    return out


def drawn(name, case, draws=20000):
    """The conditional p-value by NumPy's draws, where no category is unseen."""
    cells = table(case)
    if len(cells) < 2 or case[4].get("unseen"):
        return None
    r, c = np.array([a for a, _, _ in cells]), np.array([b for _, b, _ in cells])
    t, n, m = r + c, r.sum(), c.sum()
    if not n or not m or t.sum() > 10**8 or len(t) > 1000:
        return None
    sets = np.random.default_rng(1).multivariate_hypergeometric(t, m, size=draws, method="marginals")

    def value(c):
        r = t - c
        p, q = r / n, c / m
        with np.errstate(all="ignore"):
            if name == "psi":
                h = len(t) / 2
                a, b = (r + 0.5) / (n + h), (c + 0.5) / (m + h)
                return ((a - b) * np.log(a / b)).sum(-1)
            if name == "chi_square":
                return ((m * r - n * c) ** 2 / t).sum(-1)
            if name == "g":
                return (special.xlogy(r, r / t) + special.xlogy(c, c / t)).sum(-1)
            if name == "jensen_shannon":
                return (special.rel_entr(p, (p + q) / 2) + special.rel_entr(q, (p + q) / 2)).sum(-1)
            if name == "hellinger":
                return ((np.sqrt(p) - np.sqrt(q)) ** 2).sum(-1)
            if name == "total_variation":
                return np.abs(p - q).sum(-1)
            return np.abs(p - q).max(-1)

    seen = value(c)
    beyond = (value(sets) >= seen - 1e-9 * abs(seen)).sum()
    return {"statistic": float(distance(name, Cells(cells))) if not Cells(cells).same() else 0, "method": "monte_carlo", "p": (1 + int(beyond)) / (draws + 1)}


def bridge(lam, grid):
    """The chance that a bridge leaves ±lam on the grid, by Simpson's rule."""
    x = np.linspace(-lam, lam, 2001)
    w = np.full(x.size, 2.0)
    w[1::2] = 4
    w[0] = w[-1] = 1
    w *= (x[1] - x[0]) / 3
    f = stats.norm.pdf(x, scale=math.sqrt(grid[0] * (1 - grid[0])))
    for a, b in zip(grid, grid[1:]):
        k = (1 - b) / (1 - a)
        f = stats.norm.pdf(x[:, None], k * x[None, :], math.sqrt((b - a) * k)) @ (w * f)
    return 1 - w @ f


def smirnov(r, c):
    n, m = sum(r), sum(c)
    cr, cc = np.cumsum(r), np.cumsum(c)
    ends, reach = set((cr + cc).tolist()), max(abs(a * m - b * n) for a, b in zip(cr.tolist(), cc.tolist()))
    if reach == 0:
        return 1
    hit = [0.0] * (m + 1)
    for i in range(n + 1):
        for j in range(m + 1):
            if i + j and i + j in ends and abs(i * m - j * n) >= reach:
                hit[j] = 1.0
            elif i + j:
                hit[j] = ((i * hit[j] if i else 0) + (j * hit[j - 1] if j else 0)) / (i + j)
    return hit[m]


def squares(q, grid, weights):
    """P(Σ w·B² > q) by the eigenvalues of the matrix, in 40 digits."""
    n = len(grid)
    t, w = [mp.mpf(v) for v in grid], [mp.mpf(v) for v in weights]
    a = mp.matrix(n, n)
    for i in range(n):
        for j in range(n):
            a[i, j] = mp.sqrt(w[i] * w[j]) * (min(t[i], t[j]) - t[i] * t[j])
    lam = [v for v in mp.eigsy(a, eigvals_only=True) if v > 0]
    return 1 - mp.invertlaplace(lambda s: mp.fprod((1 + 2 * v * s) ** mp.mpf(-0.5) for v in lam) / s, q, method="talbot", degree=60)


def ordered(name, case):
    if case[1] == "categories":
        return {"statistic": 0, "caveats": ["unsuited"]}
    cells = table(case, with_inf=name != "wasserstein")
    x = Cells(cells) if compared(cells) else None
    if not x:
        return {"statistic": 0}
    if len(cells) < 2:
        return {"statistic": 0, "p": 1, "method": "exact", "caveats": ["constant"]}
    gap = [sum(x.p[: i + 1]) - sum(x.q[: i + 1]) for i in range(x.df)]
    if x.same():
        gap = [mp.mpf(0)] * x.df
    grid = [sum(x.pi[: i + 1]) for i in range(x.df)]
    out = {"method": "asymptotic"}
    if name == "ks":
        d = max(abs(g) for g in gap)
        lam = float(d / mp.sqrt(x.s))
        out["statistic"] = float(d)
        if x.n * x.m <= 10**6:
            out["method"], out["p"] = "exact", float(smirnov(*zip(*x.pairs)))
        elif special.kolmogorov(lam) < 1e-8:
            out["p"] = float(special.kolmogorov(lam))
        else:
            out["p"] = 1 if lam == 0 else float(bridge(lam, [float(v) for v in grid]))
        return out
    if name == "wasserstein":
        b = case[4]["bounds"]
        mid = [(mp.mpf(b[i]) + b[i + 1]) / 2 for _, _, i in cells]
        w = [v - u for u, v in zip(mid, mid[1:])]
        v = sum(abs(g) * d for g, d in zip(gap, w))
        if x.n < M53 and x.m < M53 and not x.same():
            plain = stats.wasserstein_distance([float(u) for u in mid], [float(u) for u in mid], x.p, x.q)
            assert abs(plain / float(v) - 1) < 1e-9, (plain, v)
        sd = [float(d * mp.sqrt(t * (1 - t) * x.s)) for d, t in zip(w, grid)]
        t = [float(u) for u in grid]
        rho = [[math.sqrt(min(a, b) * (1 - max(a, b)) / (max(a, b) * (1 - min(a, b)))) for b in t] for a in t]
        mean = math.sqrt(2 / math.pi) * sum(sd)
        var = sum(sd[i] * sd[j] * folded(rho[i][j]) for i in range(len(t)) for j in range(len(t)))
        out["statistic"] = float(v)
        if len(t) == 1:
            return out | {"p": float(2 * stats.norm.sf(float(v) / sd[0])), "threshold": sd[0] * stats.norm.isf(ALPHA / 2)}
        k = math.sqrt(math.log1p(var / mean**2))
        out["p"] = float(stats.lognorm.sf(float(v), k, scale=mean * math.exp(-k * k / 2)))
        out["threshold"] = float(stats.lognorm.isf(ALPHA, k, scale=mean * math.exp(-k * k / 2)))
        return out
    weights = [p / (t * (1 - t)) if name == "anderson_darling" else p for p, t in zip(x.pi, grid)]
    v = sum(g * g * w for g, w in zip(gap, weights)) / x.s
    out["statistic"] = float(v)
    out["p"] = 1 if v == 0 else float(squares(v, grid, weights))
    return out


def proportion(case):
    r, c = (generate(case[4]["generate"]) if "generate" in case[4] else (case[2], case[3]))
    if len(r) < 2:
        return {"statistic": 0, "caveats": ["unsuited"]}
    cells = table(case)
    n, m = sum(a for a, _, _ in cells), sum(b for _, b, _ in cells)
    if not n or not m:
        return {"statistic": 0}
    a, b = next(((a, b) for a, b, i in cells if i == 1), (0, 0))
    if a + b in (0, n + m):
        return {"statistic": 0, "p": 1, "method": "exact", "caveats": ["constant"]}
    pi = mp.mpf(a + b) / (n + m)
    z = (mp.mpf(b) / m - mp.mpf(a) / n) / mp.sqrt(pi * (1 - pi) * (mp.mpf(1) / n + mp.mpf(1) / m))
    out = {"statistic": float(z), "judged": abs(float(z))}
    if min(n, m) * min(pi, 1 - pi) >= 5:
        if n < 10**9:
            assert abs(proportions_ztest([b, a], [m, n])[0] - z) < 1e-9
        return out | {"p": float(2 * stats.norm.sf(abs(float(z)))), "method": "asymptotic", "threshold": stats.norm.isf(ALPHA / 2)}
    return out | {"p": 1 if z == 0 else float(stats.fisher_exact([[a, n - a], [b, m - b]])[1]), "method": "exact"}


def scouter(case):
    r, c = (generate(case[4]["generate"]) if "generate" in case[4] else (case[2], case[3]))
    n, m = sum(r), sum(c)
    if not n or not m:
        return {"statistic": 0}
    v = math.fsum((a / n + 1e-10 - b / m - 1e-10) * math.log((a / n + 1e-10) / (b / m + 1e-10)) for a, b in zip(r, c))
    return {"statistic": v, "threshold": (stats.chi2.isf(ALPHA, len(r) - 1) if len(r) > 1 else 0) / m}


def entry(case, want, params=None):
    name, kind, r, c, more = case
    return {"name": name, "kind": kind, "reference": r, "current": c, **more, "params": params or {}, "want": want}


def write(name, entries):
    text = ",\n".join(json.dumps(e) for e in entries)
    (HERE / f"{name}.json").write_text(f"[\n{text}\n]\n")


for name in PARTS:
    entries = [entry(case, counted(name, case), NEVER) for case in CASES]
    for case in CASES[:4] + CASES[7:9] + CASES[11:14]:
        want = drawn(name, case)
        entries.append(entry(case, want, {"draw_below": 1_000_000, "replicates": 4000}))
    write(name, entries)
for name in ("ks", "cramer_von_mises", "anderson_darling", "wasserstein"):
    write(name, [entry(case, ordered(name, case)) for case in CASES])
small = [("Fisher", "categories", [38, 2], [28, 7], {}), ("Fisher, rare", "categories", [1000000, 3], [1000, 4], {}), ("Fisher, unseen", "categories", [100, 0], [45, 3], {"unseen": 2})]
write("proportion", [entry(case, proportion(case)) for case in CASES + small])
write("psi_scouter", [entry(case, scouter(case)) for case in CASES])


def power(windows=300, n=1000, m=100):
    """Normal samples shifted by a part of a standard deviation, in 20 cells cut at
    the reference's quantiles, with the share of windows in which SciPy's tests of
    the raw values, and of the deciles, say p <= 0.05."""
    out = []
    for shift in (0.25, 0.5):
        source = np.random.default_rng(int(shift * 100))
        counts, found = [], {"ks_2samp": 0, "cramervonmises_2samp": 0, "anderson_ksamp": 0, "chi2_contingency": 0, "g": 0, "ttest_ind": 0}
        for _ in range(windows):
            x, y = source.normal(size=n), source.normal(shift, size=m)
            edges = np.quantile(x, np.arange(1, 20) / 20)
            c = np.bincount(np.searchsorted(edges, y, side="left"), minlength=20)
            counts.append(c.tolist())
            deciles = np.array([[n / 10] * 10, c.reshape(10, 2).sum(1)])
            found["ks_2samp"] += stats.ks_2samp(x, y).pvalue <= ALPHA
            found["cramervonmises_2samp"] += stats.cramervonmises_2samp(x, y).pvalue <= ALPHA
            found["anderson_ksamp"] += stats.anderson_ksamp([x, y], variant="midrank", method=None).pvalue <= ALPHA
            found["chi2_contingency"] += stats.chi2_contingency(deciles, correction=False).pvalue <= ALPHA
            found["g"] += stats.chi2_contingency(deciles, correction=False, lambda_="log-likelihood").pvalue <= ALPHA
            found["ttest_ind"] += stats.ttest_ind(x, y, equal_var=False).pvalue <= ALPHA
        out.append({"shift": shift, "n": n, "m": m, "counts": counts, "found": {k: int(v) for k, v in found.items()}})
    (HERE / "power.json").write_text(json.dumps(out) + "\n")


power()
