"""Writes wine.json: edges, counts and population stability indexes of the
wine data, computed without driftmesh, for the tests of this package.

Reference: the rows at even positions, counted from 0. Samples: "same", the rows
at odd positions; "moved", those of them with more than 11 % alcohol.

Needs numpy. Run: python3 wine.py > wine.json
"""
import csv
import json
import math
import pathlib

import numpy as np

DATA = pathlib.Path(__file__).resolve().parents[5] / "examples/wine/winequality-red.csv"

with open(DATA, newline="") as file:
    rows = list(csv.DictReader(file))
columns = {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}
even = np.arange(len(rows)) % 2 == 0
samples = {"same": ~even, "moved": ~even & (columns["alcohol"] > 11)}


def counts(values, edges):
    # side="left": the number of edges strictly below v, so lower < v <= upper.
    return np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)


out = {}
for name, values in columns.items():
    reference = values[even]
    # Up to 20 distinct values have a bin each; others are cut at deciles.
    edges = np.unique(reference)[:-1]
    if len(edges) >= 20:
        edges = np.quantile(reference, np.arange(1, 10) / 10, method="linear")
    expected = counts(reference, edges)
    feature = {"edges": edges.tolist(), "reference": expected.tolist(), "samples": {}}
    for label, chosen in samples.items():
        observed = counts(values[chosen], edges)
        p = expected / expected.sum() + 1e-10
        q = observed / observed.sum() + 1e-10
        parts = (p - q) * np.log(p / q)
        feature["samples"][label] = {
            "counts": observed.tolist(),
            "contributions": parts.tolist(),
            "psi": math.fsum(parts),
        }
    out[name] = feature
print(json.dumps(out, indent=1))
