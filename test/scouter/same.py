#!/usr/bin/env python3
"""Compares the numbers that a server gives with the published client's own: random data of many shapes goes through the
client's queue, and what ScouterClient.get_binned_drift then answers is held against what Drifter.compute_drift makes of the
same data, to 1e-9. Profiles on a schedule of a minute raise the alerts that follow from the client's zones, indexes and
conditions, and no others. Only the public API of scouter-ml is used.

    same.py --http http://127.0.0.1:8000 [--transport grpc --grpc 127.0.0.1:50051] [--seed N] [--out REPORT]

Exit status: 0 all numbers are the same, 1 some are not, 2 usage.
"""
import argparse
import json
import math
import pathlib
import statistics
import sys
import tempfile
import time

import numpy
import polars
import scouter
from scouter import alert, client, queue, transport, types

NEAR = 1e-9
REFERENCE, CURRENT = 3000, 2000  # rows; the client sends a thousand at a time


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--http", required=True)
    p.add_argument("--transport", choices=["http", "grpc"], default="http")
    p.add_argument("--grpc")
    p.add_argument("--username", default="admin")
    p.add_argument("--password", default="admin")
    p.add_argument("--seed", type=int, default=int(time.time()))
    p.add_argument("--out")
    return p.parse_args()


def shapes(rng):
    """Columns by name: the reference and what comes later."""
    r, c = REFERENCE, CURRENT
    words = lambda n, of: [f"w{of[i]:02d}" for i in range(n)]
    numeric = {
        "normal": (rng.normal(50, 5, r), rng.normal(51, 6, c)),
        "uniform": (rng.uniform(-1, 1, r), rng.uniform(-1, 1, c)),
        "skewed": (rng.lognormal(0, 2, r), rng.lognormal(0.2, 2, c)),
        "ties": (rng.integers(0, 4, r).astype(float), rng.integers(1, 4, c).astype(float)),
        "shifted": (rng.normal(0, 1, r), rng.normal(3, 1, c)),
        "beyond": (rng.uniform(0, 1, r), numpy.full(c, 10.0)),
        "tiny": (rng.normal(0, 1e-12, r), rng.normal(0, 1e-12, c)),
        "huge": (rng.normal(0, 1e12, r), rng.normal(1e12, 1e12, c)),
        "constant": (numpy.full(r, 7.0), numpy.full(c, 7.0)),
        "left": (numpy.full(r, 7.0), rng.normal(7, 1, c)),  # what was constant is so no more
        "binary": (rng.integers(0, 2, r).astype(float), rng.integers(0, 2, c).astype(float)),
        "zeros": (rng.normal(0, 1, r) * (rng.random(r) < 0.3), rng.normal(0, 1, c) * (rng.random(c) < 0.6)),
    }
    texts = {
        "few": (words(r, rng.integers(0, 3, r)), words(c, rng.integers(0, 3, c))),
        "many": (words(r, numpy.concatenate([numpy.arange(40), rng.integers(0, 40, r - 40)])), words(c, rng.integers(5, 30, c))),
        "one": (words(r, numpy.zeros(r, int)), words(c, numpy.zeros(c, int))),
    }
    return numeric, texts


STRATEGIES = {
    "quantile-2": scouter.QuantileBinning(num_bins=2), "quantile-10": scouter.QuantileBinning(num_bins=10), "quantile-37": scouter.QuantileBinning(num_bins=37),
    "manual": scouter.EqualWidthBinning(method=scouter.Manual(num_bins=5)), "square-root": scouter.EqualWidthBinning(method=scouter.SquareRoot()),
    "sturges": scouter.EqualWidthBinning(method=scouter.Sturges()), "rice": scouter.EqualWidthBinning(method=scouter.Rice()),
    "doane": scouter.EqualWidthBinning(method=scouter.Doane()), "scott": scouter.EqualWidthBinning(method=scouter.Scott()),
    "terrell-scott": scouter.EqualWidthBinning(method=scouter.TerrellScott()), "freedman-diaconis": scouter.EqualWidthBinning(method=scouter.FreedmanDiaconis()),
}
# The client makes no bins of these by rules that look at how the data spreads.
FLAT = {"constant", "left", "zeros", "binary"}


class Numbers:
    def __init__(self, a):
        self.a, self.rng, self.drifter = a, numpy.random.default_rng(a.seed), scouter.Drifter()
        self.http = transport.HttpConfig(server_uri=a.http, username=a.username, password=a.password)
        self.client = scouter.ScouterClient(self.http)
        self.kept = tempfile.TemporaryDirectory(prefix="scouter-numbers-")
        self.report = {"seed": a.seed, "compared": 0, "worst": 0.0, "profiles": {}, "failures": []}
        self.checks, self.alerts, self.queues = [], [], []

    def config(self):
        if self.a.transport == "http":
            return self.http
        return transport.GrpcConfig(server_uri="http://" + self.a.grpc, username=self.a.username, password=self.a.password)

    def register(self, profile, alias):
        self.client.register_profile(profile, set_active=True, deactivate_others=False)
        path = pathlib.Path(self.kept.name) / f"{alias}.json"
        profile.save_to_json(path)
        self.report["profiles"][alias] = profile.config.uid
        return path

    def send(self, paths, items):
        """Puts items into queues, as many as the client sends by itself: they stay open, since what is under way when one is
        shut down has half a second, which is not what is to be seen here."""
        q = scouter.ScouterQueue.from_path(paths, transport_config=self.config())
        self.queues.append(q)
        for alias, rows in items.items():
            for row in rows:
                q[alias].insert(row)

    # Numbers ----------------------------------------------------------------------------------------------------------

    def near(self, what, got, want):
        """Notes how far two numbers are apart, relative to what is expected, and says whether they are the same."""
        apart = abs(got - want) / (abs(want) or 1.0) if math.isfinite(got) else math.inf
        if apart > NEAR:
            return f"{what}: {got!r}, not {want!r}"
        self.report["compared"] += 1
        self.report["worst"] = max(self.report["worst"], apart)
        return None

    def rows(self, frame):
        return [scouter.Features(row) for row in frame.iter_rows(named=True)]

    def psi(self):
        numeric, texts = shapes(self.rng)
        paths, items = {}, {}
        for name, strategy in STRATEGIES.items():
            columns = {k: v for k, v in numeric.items() if name.startswith("quantile") or name in ("manual", "sturges", "rice", "square-root") or k not in FLAT}
            if name == "freedman-diaconis":
                del columns["skewed"]  # thousands of bins, where a server allows a thousand
            if name == "quantile-10":
                columns |= texts
            self.psi_profile(name, strategy, columns, list(texts) if name == "quantile-10" else [], paths, items)
        self.psi_profile("texts-as-numbers", scouter.QuantileBinning(num_bins=10), {"many": texts["many"]}, [], paths, items)
        self.send(paths, items)

    def psi_profile(self, name, strategy, columns, categorical, paths, items):
        before, after = (polars.DataFrame({k: list(v[i]) for k, v in columns.items()}) for i in (0, 1))
        profile = self.drifter.create_drift_profile(before, scouter.PsiDriftConfig(
            space="numbers", name=name, categorical_features=categorical, binning_strategy=strategy,
            alert_config=scouter.PsiAlertConfig(features_to_monitor=list(columns))))
        want = self.drifter.compute_drift(after, profile).features
        paths[name], items[name] = self.register(profile, name), self.rows(after)
        self.checks.append((name, lambda: self.wrong_psi(name, profile.config.uid, want)))

    def drift(self, uid, kind):
        return self.client.get_binned_drift(client.DriftRequest(uid=uid, space="numbers", time_interval=client.TimeInterval.SevenDays, max_data_points=1), kind)

    def wrong_psi(self, name, uid, want):
        got = self.drift(uid, types.DriftType.Psi).features
        if set(got) != set(want):
            return f"features {sorted(got)}"
        for feature, index in want.items():
            if wrong := self.near(f"{feature}: index", got[feature].overall_psi, index):
                return wrong
            if wrong := self.near(f"{feature}: sum of shares", sum(got[feature].bins.values()), 1.0):
                return wrong
        return None

    def spc(self):
        paths, items = {}, {}
        for size, chunks in ((1, 60), (7, 30), (25, 20), (100, 8)):
            name, r, c = f"spc-{size}", 5000, size * chunks
            columns = {
                "normal": (self.rng.normal(50, 5, r), self.rng.normal(51, 6, c)), "ties": (self.rng.integers(0, 3, r).astype(float), self.rng.integers(0, 3, c).astype(float)),
                "constant": (numpy.full(r, 7.0), numpy.full(c, 7.0)), "tiny": (self.rng.normal(0, 1e-12, r), self.rng.normal(0, 1e-12, c)),
                "huge": (self.rng.normal(1e12, 1e9, r), self.rng.normal(1e12, 1e9, c)), "zeros": (numpy.zeros(r), numpy.zeros(c)),
            }
            before, after = (polars.DataFrame({k: v[i] for k, v in columns.items()}) for i in (0, 1))
            profile = self.drifter.create_drift_profile(before, scouter.SpcDriftConfig(space="numbers", name=name, sample_size=size))
            want = {f: statistics.fmean(d.samples) for f, d in self.drifter.compute_drift(after, profile).features.items()}
            paths[name], items[name] = self.register(profile, name), self.rows(after)
            self.checks.append((name, lambda uid=profile.config.uid, want=want: self.wrong_spc(uid, want)))
        self.send(paths, items)

    def wrong_spc(self, uid, want):
        got = self.drift(uid, types.DriftType.Spc).features
        if set(got) != set(want):
            return f"features {sorted(got)}"
        for feature, mean in want.items():
            # Two buckets where the hour's edge lies between: each is judged by its weight elsewhere.
            if len(got[feature].values) != 1:
                return f"{feature}: {len(got[feature].values)} buckets"
            if wrong := self.near(f"{feature}: mean", got[feature].values[0], mean):
                return wrong
        return None

    def custom(self):
        paths, items = {}, {}
        for size in (1, 10):
            name, n = f"custom-{size}", 120
            values = {"mae": self.rng.normal(12, 3, n), "share": self.rng.random(n), "huge": self.rng.normal(1e12, 1e9, n), "same": numpy.full(n, 0.1)}
            profile = scouter.CustomDriftProfile(
                config=scouter.CustomMetricDriftConfig(space="numbers", name=name, sample_size=size),
                metrics=[scouter.CustomMetric(name=k, baseline_value=1.0, alert_threshold=alert.AlertThreshold.Above) for k in values])
            paths[name] = self.register(profile, name)
            items[name] = [scouter.Metrics({k: float(v[i]) for k, v in values.items()}) for i in range(n)]
            batches = {k: [statistics.fmean(v[i:i + size]) for i in range(0, n, size)] for k, v in values.items()}
            self.checks.append((name, lambda uid=profile.config.uid, batches=batches: self.wrong_custom(uid, batches)))
        self.send(paths, items)

    def wrong_custom(self, uid, batches):
        got = self.drift(uid, types.DriftType.Custom).metrics
        if set(got) != set(batches):
            return f"metrics {sorted(got)}"
        for metric, values in batches.items():
            if len(got[metric].stats) != 1:
                return f"{metric}: {len(got[metric].stats)} buckets"
            stats, mean, spread = got[metric].stats[0], statistics.fmean(values), statistics.stdev(values)
            for what, have, want in (("mean", stats.avg, mean), ("lower", stats.lower_bound, mean - spread), ("upper", stats.upper_bound, mean + spread)):
                if wrong := self.near(f"{metric}: {what}", have, want):
                    return wrong
        return None

    # Alerts -----------------------------------------------------------------------------------------------------------

    def scheduled(self):
        """Sends to profiles that are judged every minute, all within one minute, and notes what must be alerted."""
        schedule, paths, items = scouter.CommonCrons.Every1Minute, {}, {}
        zones = [alert.AlertZone.Zone1, alert.AlertZone.Zone2, alert.AlertZone.Zone3, alert.AlertZone.Zone4]
        for name, rule, watched in (("alerts-spc", "8 16 4 8 2 4 1 1", zones), ("alerts-zones", "8 16 4 8 2 4 1 1", zones[3:]),
                                    ("alerts-rule", "3 4 2 4 0 0 1 1", zones[:2])):
            before, after = self.control_charts()
            profile = self.drifter.create_drift_profile(before, scouter.SpcDriftConfig(
                space="numbers", name=name, sample_size=5,
                alert_config=scouter.SpcAlertConfig(rule=alert.SpcAlertRule(rule=rule, zones_to_monitor=watched), schedule=schedule)))
            drift = self.drifter.compute_drift(after, profile).features
            want = [{"Spc": {"feature": f, "kind": kind, "zone": zone}} for f, d in drift.items()
                    for zone, kind in patterns(d.drift, rule, [4 - len(zones) + zones.index(z) + 1 for z in watched])]
            paths[name], items[name] = self.register(profile, name), self.rows(after)
            self.alerts.append((name, profile.config.uid, want))
        numeric, _ = shapes(self.rng)
        columns = {k: numeric[k] for k in ("normal", "uniform", "ties", "shifted")}
        columns["near"] = (columns["normal"][0], self.rng.choice(columns["normal"][0], CURRENT))
        before, after = (polars.DataFrame({k: v[i] for k, v in columns.items()}) for i in (0, 1))
        for name, threshold, limit in (
                ("alerts-fixed", alert.PsiFixedThreshold(0.1), lambda bins: 0.1),
                ("alerts-normal", alert.PsiNormalThreshold(0.05), lambda bins: (bins - 1) / CURRENT + statistics.NormalDist().inv_cdf(0.95) * math.sqrt(2 * (bins - 1)) / CURRENT),
                ("alerts-chi-square", alert.PsiChiSquareThreshold(0.01), lambda bins: chi_square_quantile(0.99, bins - 1) / CURRENT)):
            profile = self.drifter.create_drift_profile(before, scouter.PsiDriftConfig(
                space="numbers", name=name, alert_config=scouter.PsiAlertConfig(features_to_monitor=list(columns), threshold=threshold, schedule=schedule)))
            want = [{"Psi": {"feature": f, "drift": index, "threshold": limit(10)}} for f, index in self.drifter.compute_drift(after, profile).features.items() if index > limit(10)]
            paths[name], items[name] = self.register(profile, name), self.rows(after)
            self.alerts.append((name, profile.config.uid, want))
        metrics, want = [], []
        for baseline, how, delta in ((10.0, "Above", 1.5), (10.0, "Above", 3.0), (10.0, "Above", None), (14.0, "Below", 1.5), (14.0, "Below", 3.0), (12.0, "Below", None),
                                     (10.0, "Outside", 1.0), (12.0, "Outside", 0.5), (12.0, "Outside", None), (14.0, "Outside", 1.0)):
            one = f"m{len(metrics)}"
            metrics.append(scouter.CustomMetric(name=one, baseline_value=baseline, alert_threshold=getattr(alert.AlertThreshold, how), delta=delta))
            if metrics[-1].alert_condition.should_alert(12.0):
                want.append({"Custom": {"metric_name": one, "baseline_value": baseline, "observed_value": 12.0, "delta": delta, "alert_threshold": how}})
        profile = scouter.CustomDriftProfile(
            config=scouter.CustomMetricDriftConfig(space="numbers", name="alerts-custom", sample_size=10,
                                                   alert_config=alert.CustomMetricAlertConfig(schedule=schedule)), metrics=metrics)
        paths["alerts-custom"] = self.register(profile, "alerts-custom")
        items["alerts-custom"] = [scouter.Metrics({m.name: 12.0 for m in metrics}) for _ in range(10)]
        self.alerts.append(("alerts-custom", profile.config.uid, want))
        while not 1 < time.time() % 60 < 40:  # a schedule looks at whole minutes
            time.sleep(0.2)
        self.send(paths, items)

    def control_charts(self):
        """A reference, and features whose means of five go where the rules look."""
        before = polars.DataFrame({k: self.rng.normal(0, 1, 500) for k in ("calm", "beyond", "shifted", "climbing", "swinging")})
        spread = 1 / math.sqrt(5)
        means = {"calm": numpy.zeros(20) + 0.01, "beyond": [0.01] * 10 + [9.0] + [0.01] * 9, "shifted": [1.5] * 20,
                 "climbing": [-2 + 0.2 * i for i in range(20)], "swinging": [2.5 * (-1) ** i for i in range(20)]}
        return before, polars.DataFrame({k: numpy.repeat(numpy.asarray(v, float), 5) + spread * 0 for k, v in means.items()})

    def wrong_alerts(self, uid, want):
        """All pages, forwards, of three alerts each."""
        found, cursor = [], {}
        while True:
            page = self.client.get_alerts(client.DriftAlertPaginationRequest(uid=uid, active=True, limit=3, direction="next", **cursor))
            found += [a.id for a in page.items]
            if not page.has_next:
                break
            cursor = {"cursor_created_at": page.next_cursor.created_at, "cursor_id": page.next_cursor.id}
        if len(found) != len(set(found)):
            return f"an alert is on two pages: {found}"
        return None if len(found) == len(want) else f"{len(found)} alerts, not {len(want)}"


def patterns(zones, rule, watched):
    """The alerts of a rule of eight numbers, as the client's documentation has it: zone and kind."""
    digits, found = [int(d) for d in rule.split()], set()
    for i, value in enumerate(zones):
        for zone in (1, 2, 3, 4):
            if zone not in watched or abs(value) != zone:
                continue
            for kind, n, test in (("Consecutive", digits[2 * zone - 2], consecutive), ("Alternating", digits[2 * zone - 1], alternating)):
                if n > 0 and i + 1 >= n and test(zones[i + 1 - n:i + 1], zone, n):
                    found.add((f"Zone{zone}", "OutOfBounds" if zone == 4 else kind))
    for i in range(len(zones) - 6):
        steps = [b - a for a, b in zip(zones[i:i + 7], zones[i + 1:i + 7])]
        if all(s > 0 for s in steps) or all(s < 0 for s in steps):
            found.add(("NotApplicable", "Trend"))
    return sorted(found)


def consecutive(window, zone, n):
    return sum(v >= zone for v in window) >= n or sum(v <= -zone for v in window) >= n


def alternating(window, zone, n):
    last, count = 0, 0
    for v in window:
        if v != 0 and v != last and abs(v) >= zone:
            last, count = v, count + 1
            if count >= n:
                return True
        else:
            last, count = 0, 0
    return False


def chi_square_quantile(p, degrees):
    """By halving; the distribution is a series of the incomplete gamma function."""
    def below(x):
        a, term, total = degrees / 2, 1 / (degrees / 2), 0.0
        for k in range(1, 1000):
            total += term
            term *= (x / 2) / (a + k)
        return total * math.exp(a * math.log(x / 2) - x / 2 - math.lgamma(a))
    low, high = 1e-9, 1000.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if below(middle) < p else (low, middle)
    return low


def eventually(n, seconds, checks):
    """Asks until all answers are right, or the time is over."""
    end = time.time() + seconds
    for name, wrong in checks:
        while (why := wrong()) and time.time() < end:
            time.sleep(0.5)
        if why:
            n.report["failures"].append(f"{name}: {why}")
            print(f"FAIL {name}: {why}", file=sys.stderr)


def main():
    n = Numbers(arguments())
    n.scheduled()
    n.psi()
    n.spc()
    n.custom()
    eventually(n, 60, n.checks)
    eventually(n, 100, [(name, lambda uid=uid, want=want: n.wrong_alerts(uid, want)) for name, uid, want in n.alerts])
    n.report["alerts"] = {name: want for name, _, want in n.alerts}
    text = json.dumps(n.report, indent=1)
    print(text)
    if n.a.out:
        pathlib.Path(n.a.out).write_text(text)
    sys.exit(1 if n.report["failures"] else 0)


if __name__ == "__main__":
    main()
