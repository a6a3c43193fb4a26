"""Writes golden_charts.json: values of detectors of moments, charts, data
quality, performance and several features, computed from raw data by numpy,
SciPy, statsmodels and scikit-learn.

    python3 -m venv /tmp/golden && /tmp/golden/bin/pip install numpy scipy statsmodels scikit-learn
    /tmp/golden/bin/python golden_charts.py
"""
import itertools, json, math, os

import numpy as np
from scipy import stats
from sklearn.decomposition import PCA
from sklearn.metrics import f1_score, roc_auc_score
from statsmodels.stats.proportion import proportions_ztest

rng = np.random.default_rng(20240501)
cases = []


def case(detector, reference, current, want, params=None, **more):
    cases.append({"detector": detector, "reference": reference, "current": current, "want": want, "params": params or {}, **more})


def numbers(x):
    return {"values": [float(v) for v in x]}


def moments(a, b):
    a, b = np.asarray(a, float), np.asarray(b, float)
    w = stats.ttest_ind(b, a, equal_var=False)
    q = stats.t.isf(0.025, w.df)
    case("mean", numbers(a), numbers(b), {"statistic": w.statistic, "p": w.pvalue, "threshold": q})
    centre = np.median(a)
    da, db = np.abs(a - centre), np.abs(b - centre)
    w = stats.ttest_ind(db, da, equal_var=False)
    case("spread", numbers(a), numbers(b), {"statistic": w.statistic, "p": w.pvalue}, centre=float(centre))
    f = np.var(b, ddof=1) / np.var(a, ddof=1)
    d = stats.f(len(b) - 1, len(a) - 1)
    case("variance", numbers(a), numbers(b), {"statistic": f, "p": 2 * min(d.sf(f), d.cdf(f))})
    n, m = len(a), len(b)
    kappa = (n * stats.kurtosis(a, fisher=False) + m * stats.kurtosis(b, fisher=False)) / (n + m)
    se = math.sqrt((kappa - (n - 3) / (n - 1)) / n + (kappa - (m - 3) / (m - 1)) / m)
    z = math.log(f) / se
    case("log_variance", numbers(a), numbers(b), {"statistic": z, "p": 2 * stats.norm.sf(abs(z))})


moments([1, 2, 3, 4, 5, 7], [2, 4, 6, 8, 9])
moments(rng.normal(5, 2, 200).round(3), rng.normal(5.3, 2.5, 120).round(3))
moments(rng.lognormal(0, 1, 500).round(3), rng.lognormal(0.2, 0.8, 80).round(3))
moments(rng.poisson(3, 60), rng.poisson(4, 40))
moments(1e-60 * rng.normal(0, 1, 50), 1e-60 * rng.normal(1, 1, 40))
moments(rng.normal(0, 1, 300).round(3), rng.normal(3, 1, 300).round(3))  # a far tail


def point(x=None, marked=0, n=None):
    if x is None:
        return [n or 0, 0.0, 0.0, int(marked)]
    x = np.asarray(x, float)
    return [len(x), float(x.mean()), float(x.std(ddof=1)) if len(x) > 1 else 0.0, int(marked)]


def c4(n):
    return math.sqrt(2 / (n - 1)) * math.exp(math.lgamma(n / 2) - math.lgamma((n - 1) / 2))


def charts():
    reference = [rng.normal(10, 2, 5) for _ in range(30)]
    sample = [rng.normal(10, 2, 5) for _ in range(3)] + [rng.normal(14, 2, 5)]
    centre = np.mean([g.mean() for g in reference])
    sigma = np.mean([g.std(ddof=1) for g in reference]) / c4(5)
    z = (sample[-1].mean() - centre) / (sigma / math.sqrt(5))
    patterns = int(abs(z) > 3) + int(sample[-1].std(ddof=1) > sigma * (c4(5) + 3 * math.sqrt(1 - c4(5) ** 2)))
    case("xbar_s", {"points": [point(g) for g in reference]}, {"points": [point(g) for g in sample]}, {"statistic": z, "judged": patterns})

    values = rng.normal(0, 1, 120)
    sample = [0.2, -0.4, 4.5]
    sigma = np.abs(np.diff(values)).mean() / (2 / math.sqrt(math.pi))
    z = (sample[-1] - values.mean()) / sigma
    moved = abs(sample[-1] - sample[-2]) > 3.2665319191935 * np.abs(np.diff(values)).mean()
    case("i_mr", {"points": [point([v]) for v in values]}, {"points": [point([v]) for v in sample]}, {"statistic": z, "judged": int(abs(z) > 3) + int(moved)})

    marked = rng.binomial(150, 0.06, 30)
    share = marked.sum() / (150 * 30)
    z = (20 / 150 - share) / math.sqrt(share * (1 - share) / 150)
    case("p_chart", {"points": [point(n=150, marked=d) for d in marked]}, {"points": [point(n=150, marked=20)]}, {"statistic": z, "judged": int(z > 3)})
    counts = rng.poisson(10, 30)
    z = (22 - counts.mean()) / math.sqrt(counts.mean())
    case("c_chart", {"points": [point(n=1, marked=c) for c in counts]}, {"points": [point(n=1, marked=22)]}, {"statistic": z, "judged": int(z > 3)})

    values = rng.normal(3, 2, 150)
    sample = rng.normal(4, 2, 25)
    z = (sample - values.mean()) / values.std(ddof=1)
    e, up, down = 0.0, 0.0, 0.0
    for v in z:
        e = 0.2 * v + 0.8 * e
        up, down = max(0, up + v - 0.5), max(0, down - v - 0.5)
    series = {"points": [point([v]) for v in values]}, {"points": [point([v]) for v in sample]}
    # 4.1921 and 9.5156 of R's spc for an ARL of 43,200.
    case("ewma", *series, {"statistic": e, "threshold": 4.1921 * math.sqrt(0.2 / 1.8 * (1 - 0.8**50))}, {"run_length": 43200}, tolerance=2e-5)
    case("cusum", *series, {"statistic": up if up >= down else -down, "threshold": 9.5156}, {"run_length": 43200}, tolerance=2e-5)
    mean = u = d = lowest = highest = 0.0
    for i, v in enumerate(z):
        mean += (v - mean) / (i + 1)
        u += v - mean - 0.1
        d += v - mean + 0.1
        lowest, highest = min(lowest, u), max(highest, d)
    rise, fall = u - lowest, highest - d
    case("page_hinkley", *series, {"statistic": rise if rise >= fall else -fall, "threshold": 20})


charts()


def quality():
    for a, n, b, m in [(10, 1000, 30, 1000), (0, 1000, 3, 100), (2, 40, 7, 35), (500, 1000, 545, 1000)]:
        if min((a + b) / (n + m), 1 - (a + b) / (n + m)) * min(n, m) < 5:
            p = stats.fisher_exact([[a, n - a], [b, m - b]]).pvalue
        else:
            p = proportions_ztest([b, a], [m, n])[1]
        z = proportions_ztest([b, a], [m, n])[0]
        for name in ("missing", "nan", "infinite", "wrong_type"):
            case(name, {"counts": [n - a], "states": {name: a}}, {"counts": [m - b], "states": {name: b}}, {"statistic": z, "p": p})
        case("out_of_range", {"counts": [n], "states": {"out_of_range": a}}, {"counts": [m], "states": {"out_of_range": b}}, {"statistic": z, "p": p})
        case("duplicates", {"counts": [n], "duplicates": a}, {"counts": [m], "duplicates": b}, {"statistic": z, "p": p})
    for u, m, f1, n in [(3, 500, 2, 1000), (1, 100, 0, 1000), (12, 1000, 5, 1000), (0, 10, 3, 50), (40, 100, 1, 500)]:
        p = np.exp(stats.betabinom.logpmf(np.arange(u, m + 1), m, f1 + 1, n - f1)).sum()  # sf has no far tail
        case("unseen_category", {"counts": [n - f1] + [1] * f1}, {"counts": [m - u] + [0] * f1, "unseen": u}, {"statistic": u / m, "p": p}, categories=True)
    case("constant", {"counts": [60, 40]}, {"counts": [20, 0]}, {"statistic": 1, "p": 0.6**20})
    case("constant", {"counts": [60, 40]}, {"counts": [19, 1]}, {"statistic": 0.95, "p": 1})
    for x, hours, y, t in [(1200, 24, 75, 1), (1200, 24, 50, 1), (1200, 24, 0, 1), (5, 10, 9, 10)]:
        p = min(1, 2 * min(stats.binom.sf(y - 1, x + y, t / (hours + t)), stats.binom.cdf(y, x + y, t / (hours + t))))
        case("volume", {"counts": [x], "seconds": hours * 3600.0}, {"counts": [y], "seconds": t * 3600.0}, {"statistic": (y / t) / (x / hours), "p": p})
    case("freshness", {"counts": [1000], "seconds": 10000.0}, {"counts": [5], "seconds": 100.0, "silence": 35.0}, {"statistic": 35, "p": math.exp(-3.5), "threshold": 10 * -math.log(0.05)})
    case("no_data", {"counts": [10]}, {"counts": [0]}, {"statistic": 0, "judged": 1})
    case("no_data", {"counts": [10]}, {"counts": [1]}, {"statistic": 1, "judged": 0})


quality()


def delong(score, label):
    """The variance of the AUC by its definition, over all pairs."""
    pos, neg = score[label == 1], score[label == 0]
    psi = (pos[:, None] > neg[None, :]) + 0.5 * (pos[:, None] == neg[None, :])
    v10, v01 = psi.mean(axis=1), psi.mean(axis=0)
    return psi.mean(), math.sqrt(v10.var(ddof=1) / len(pos) + v01.var(ddof=1) / len(neg))


def bins(score, label):
    return [[float(s), int(((score == s) & (label == 1)).sum()), int(((score == s) & (label == 0)).sum())] for s in np.unique(score)]


def performance():
    def side(n, shift):
        score = np.round(rng.uniform(0, 1, n), 2)
        label = (rng.uniform(0, 1, n) < np.clip(score + shift, 0, 1)).astype(int)
        return score, label

    for n, m, shift in [(400, 200, 0), (1000, 300, -0.2)]:
        (sa, la), (sb, lb) = side(n, 0), side(m, shift)
        a, ea = delong(sa, la)
        b, eb = delong(sb, lb)
        assert abs(a - roc_auc_score(la, sa)) < 1e-12
        z = (b - a) / math.hypot(ea, eb)
        sides = {"scores": bins(sa, la)}, {"scores": bins(sb, lb)}
        case("auc", *sides, {"statistic": z, "p": 2 * stats.norm.sf(abs(z))})
        z = (lb.sum() - sb.sum()) / math.sqrt((sb * (1 - sb)).sum())
        case("calibration", *sides, {"statistic": z, "p": 2 * stats.norm.sf(abs(z))})
        right = lambda s: np.where(s >= 0.5, s, 1 - s)
        w = stats.ttest_ind(right(sb), right(sa), equal_var=False)
        case("cbpe_accuracy", *sides, {"statistic": w.statistic, "p": w.pvalue})
        confusion = lambda s, l: [int(((s >= 0.5) & (l == 1)).sum()), int(((s >= 0.5) & (l == 0)).sum()), int(((s < 0.5) & (l == 1)).sum()), int(((s < 0.5) & (l == 0)).sum())]
        ca, cb = confusion(sa, la), confusion(sb, lb)
        for name, of in {"accuracy": lambda c: (c[0] + c[3], sum(c)), "precision": lambda c: (c[0], c[0] + c[1]), "recall": lambda c: (c[0], c[0] + c[2])}.items():
            (xa, na), (xb, nb) = of(ca), of(cb)
            z, p = proportions_ztest([xb, xa], [nb, na])
            case(name, {"confusion": ca}, {"confusion": cb}, {"statistic": z, "p": p})
        f = [f1_score(l, s >= 0.5) for s, l in ((sa, la), (sb, lb))]
        # The delta method with a numerical gradient, not the closed form.
        v = []
        for c in (ca, cb):
            t = np.array(c[:3], float)
            g, h = np.zeros(3), 1e-4
            score = lambda x: 2 * x[0] / (2 * x[0] + x[1] + x[2])
            for i in range(3):
                d = np.zeros(3)
                d[i] = h
                g[i] = (score(t + d) - score(t - d)) / 2 / h
            total = sum(c)
            cov = np.diag(t) - np.outer(t, t) / total
            v.append(g @ cov @ g)
        z = (f[1] - f[0]) / math.sqrt(sum(v))
        case("f1", {"confusion": ca}, {"confusion": cb}, {"statistic": z, "p": 2 * stats.norm.sf(abs(z))}, tolerance=1e-6)
        e1, e2 = rng.normal(0, 1, n).round(3), rng.normal(0, 1.2, m).round(3)
        w = stats.ttest_ind(np.abs(e2), np.abs(e1), equal_var=False)
        case("mae", {"errors": e1.tolist()}, {"errors": e2.tolist()}, {"statistic": w.statistic, "p": w.pvalue})
        w = stats.ttest_ind(e2**2, e1**2, equal_var=False)
        case("rmse", {"errors": e1.tolist()}, {"errors": e2.tolist()}, {"statistic": w.statistic, "p": w.pvalue})


performance()


def several():
    cov = np.array([[2, 0.8, 0.1], [0.8, 1, -0.2], [0.1, -0.2, 3]])
    for n, m, shift in [(60, 40, 0), (200, 50, 0.6)]:
        a = rng.multivariate_normal([1, 2, 3], cov, n).round(3)
        b = rng.multivariate_normal(np.array([1, 2, 3]) + shift, cov, m).round(3)
        s = ((n - 1) * np.cov(a.T) + (m - 1) * np.cov(b.T)) / (n + m - 2)
        d = b.mean(axis=0) - a.mean(axis=0)
        t2 = d @ np.linalg.solve(s, d) / (1 / n + 1 / m)
        f = t2 * (n + m - 4) / (3 * (n + m - 2))
        case("hotelling", {"rows": a.tolist()}, {"rows": b.tolist()}, {"statistic": t2, "p": stats.f.sf(f, 3, n + m - 4)})
        # A column that follows from the others, one that is constant.
        more = lambda x: np.column_stack([x, x[:, 0] - x[:, 2], np.full(len(x), 7.0)])
        case("hotelling", {"rows": more(a).round(3).tolist()}, {"rows": more(b).round(3).tolist()}, {"statistic": t2, "p": stats.f.sf(f, 3, n + m - 4)}, tolerance=1e-8)

        residual_case(a, b)
    # What Pearson's curve is of, where the sample is larger than the reference, and
    # with rows that are not normal.
    skewed = lambda n: np.exp(0.6 * rng.multivariate_normal([1, 2, 3], cov, n)).round(6)
    residual_case(skewed(300), skewed(60))
    residual_case(skewed(120), skewed(400) * [1, 1.1, 1])


def scatter(row):
    """The number of a row that says which half of the reference it is in."""
    mask = 2**64 - 1
    z = (row + 1) * 0x9E3779B97F4A7C15 & mask
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & mask
    z = (z ^ z >> 27) * 0x94D049BB133111EB & mask
    return z ^ z >> 31


def residual_case(a, b):
    """Components of one half of the reference, and what they leave of the other."""
    standard = lambda x: (x - a.mean(axis=0)) / a.std(axis=0)
    first = np.array([scatter(i) % 2 == 0 for i in range(len(a))])
    v = PCA(n_components=0.65, svd_solver="full").fit(standard(a[first])).components_
    residual = lambda x: ((standard(x) - standard(x) @ v.T @ v) ** 2).sum(axis=1)
    was, now = residual(a[~first]), residual(b)
    n, m = len(was), len(now)
    moved = now.mean() - was.mean()
    sd = was.std() * math.sqrt(1 / n + 1 / m)
    skewness = stats.skew(was) * (1 / m - 1 / n) / math.sqrt(1 / n + 1 / m)
    if abs(skewness) > 1 or n < 25 * stats.skew(was) ** 2:  # Chebyshev's bound
        p, threshold = min(1, (sd / moved) ** 2), sd / math.sqrt(0.05)
    else:
        curve = stats.pearson3(skewness)
        p = 2 * (curve.sf if moved > 0 else curve.cdf)(moved / sd)
        threshold = abs(curve.isf(0.025) if moved > 0 else curve.ppf(0.025)) * sd
    case("pca_reconstruction", {"rows": a.tolist()}, {"rows": b.tolist()},
         {"statistic": now.mean(), "judged": abs(moved), "p": p, "threshold": threshold})


several()
for c in cases:
    c["want"] = {k: float(v) for k, v in c["want"].items()}
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden_charts.json"), "w") as out:
    out.write("[\n" + ",\n".join(json.dumps(c, allow_nan=False) for c in cases) + "\n]\n")
print(len(cases), "cases")
