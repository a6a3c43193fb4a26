#!/usr/bin/env python3
"""Puts evaluation records into queues as fast as it can, as many aliases as --aliases says, which all log in at the same
moment, and shuts down at once. The report says what was made. The other arguments are drive.py's.
"""
import argparse
import json
import pathlib
import sys
import time

import drive
import scouter


def main():
    own = argparse.ArgumentParser(add_help=False)
    own.add_argument("--aliases", type=int, default=1)
    own.add_argument("--records", type=int, default=1000, help="of each alias")
    mine, sys.argv[1:] = own.parse_known_args()
    d = drive.Drive(drive.arguments())
    d.client = scouter.ScouterClient(d.http)
    profile = drive.EvalProfile(config=drive.EvalConfig(space=d.a.space, name="burst-" + d.a.run), tasks=[
        scouter.AssertionTask(id="greets", context_path="output", operator=scouter.ComparisonOperator.Contains, expected_value="hello")], alias="eval")
    d.client.register_profile(profile, set_active=True, deactivate_others=False)
    path = d.dir / "eval.json"
    profile.save_to_json(path)
    d.paths = {f"a{i}": path for i in range(mine.aliases)}
    began = time.time()
    q = scouter.ScouterQueue.from_path(d.paths, transport_config=d.config(), wait_for_startup=True)
    started, uids = time.time(), []
    for alias in d.paths:
        for i in range(mine.records):
            r = scouter.EvalRecord(context={"output": "hello", "i": i}, id=f"{alias}-{i}")
            uids.append(r.uid)
            q[alias].insert(r)
    inserted = time.time()
    q.shutdown()
    pathlib.Path(d.a.out).write_text(json.dumps({
        "uids": uids, "login_seconds": started - began, "insert_seconds": inserted - started, "shutdown_seconds": time.time() - inserted}))


if __name__ == "__main__":
    main()
