#!/usr/bin/env python3
"""Sends records of every kind and spans through the published client, over the transport named by --transport, until its
standard input ends; then it shuts down as an application does, and writes what it sent into the file --out, as JSON. The other arguments are drive.py's.

The servers may go away meanwhile: the client is not told, and the script does not look.
"""
import argparse
import json
import pathlib
import sys
import threading
import time

import drive
import scouter
from scouter import alert, tracing


def main():
    own = argparse.ArgumentParser(add_help=False)
    own.add_argument("--pause", type=float, default=0.05, help="seconds between two rounds")
    mine, sys.argv[1:] = own.parse_known_args()
    d = drive.Drive(drive.arguments())
    d.client = scouter.ScouterClient(d.http)
    space, name, drifter = d.a.space, "stream-" + d.a.run, scouter.Drifter()
    data = drive.polars.DataFrame({"temperature": [float(i % 100) for i in range(1000)], "requests": [float(i % 7) for i in range(1000)]})
    profiles = {
        "spc": drifter.create_drift_profile(data, scouter.SpcDriftConfig(space=space, name=name, version="0.1.0", sample_size=5)),
        "psi": drifter.create_drift_profile(data, scouter.PsiDriftConfig(
            space=space, name=name, version="0.1.0", alert_config=scouter.PsiAlertConfig(features_to_monitor=["temperature", "requests"], threshold=alert.PsiFixedThreshold(0.25)))),
        "custom": scouter.CustomDriftProfile(config=scouter.CustomMetricDriftConfig(space=space, name=name, version="0.1.0", sample_size=5),
                                             metrics=[scouter.CustomMetric(name="mae", baseline_value=12.4, alert_threshold=alert.AlertThreshold.Above)]),
        "eval": drive.EvalProfile(config=drive.EvalConfig(space=space, name=name, version="0.1.0"), tasks=[
            scouter.AssertionTask(id="greets", context_path="output", operator=scouter.ComparisonOperator.Contains, expected_value="hello")], alias="eval"),
    }
    for kind, p in profiles.items():
        d.client.register_profile(p, set_active=True, deactivate_others=False)
        d.paths = getattr(d, "paths", {})
        d.paths[kind] = d.dir / f"{kind}.json"
        p.save_to_json(d.paths[kind])
    q, t = d.open_queue(), d.tracer(batch_config=tracing.BatchConfig(max_queue_size=20000, scheduled_delay_ms=100))
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    F, fs = scouter.Feature, scouter.Features
    uids, spans, n = [], 0, 0
    while not ended.wait(mine.pause):
        n += 1
        for i in range(5):
            q["spc"].insert(fs(features=[F.float("temperature", float(n % 50 + i)), F.float("requests", float(i))]))
            q["custom"].insert(scouter.Metrics([scouter.Metric("mae", n + i / 4)]))
        for i in range(100):
            q["psi"].insert(fs(features=[F.float("temperature", float((n + i) % 100)), F.float("requests", float(i % 7))]))
        for i in range(25):
            r = scouter.EvalRecord(context={"input": f"question {n}", "output": "hello"}, id=f"{n}-{i}")
            uids.append(r.uid)
            q["eval"].insert(r)
        with t.start_as_current_span("outer"):
            with t.start_as_current_span("inner"):
                spans += 2
    time.sleep(d.a.drain)
    q.shutdown()
    t.shutdown()
    pathlib.Path(d.a.out).write_text(json.dumps({"rounds": n, "uids": uids, "spans": spans, "profiles": {k: p.config.uid for k, p in profiles.items()}}))


if __name__ == "__main__":
    main()
