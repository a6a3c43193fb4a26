#!/usr/bin/env python3
"""Asks with the published Scouter client what drive.py does not ask: pages both ways, filters, metrics of some traces, tags of anything, alerts
by all parameters, and spans sent to where its exporters send unless told. drive.py was run before with the name --run. Exits with 1 for what is wrong.
"""
import argparse
import datetime as dt
import json
import os
import sys
import time
import urllib.request

os.environ.setdefault("LOG_LEVEL", "error")  # read by the client when it is imported

import scouter
from scouter import client, mock, tracing, transport

wrong = []


def check(what, got, want):
    if got != want:
        wrong.append(f"{what}: {got!r:.500}, not {want!r:.500}")


def eventually(f, seconds=30):
    end = time.time() + seconds
    while not (got := f()) and time.time() < end:
        time.sleep(0.2)
    return got


p = argparse.ArgumentParser(description=__doc__)
p.add_argument("--http", required=True)
p.add_argument("--otlp-http", required=True)
p.add_argument("--run", required=True)
a = p.parse_args()
service = "drive-" + a.run
c = client.ScouterClient(transport.HttpConfig(server_uri=a.http, username="admin", password="admin"))


def page(direction=None, cursor=None, **filters):
    f = client.TraceFilters(service_name=service, **filters)
    if cursor:
        f.cursor_start_time, f.cursor_trace_id = cursor.start_time, cursor.trace_id
    f.direction = direction
    return c.get_paginated_traces(f)


ids = lambda got: [x.trace_id for x in got.items]
everything = ids(page(limit=1000))
forth, got = [], page(limit=40)
while True:
    forth.append(ids(got))
    if not got.has_next:
        break
    got = page("next", got.next_cursor, limit=40)
check("pages forth", sum(forth, []), everything)
back = [ids(got)]
while got.has_previous:
    got = page("previous", got.previous_cursor, limit=40)
    back.insert(0, ids(got))
check("pages back", back, forth)
if len(forth) < 3:
    wrong.append(f"{len(everything)} traces are too few to page")

some = [everything[1], everything[-2]]
check("trace_ids", ids(page(trace_ids=some)), some)
names = lambda **filters: sorted(x.root_operation for x in page(**filters).items)
check("one of several attributes", names(attribute_filters=["shop:one", "text:t", "none:of it"]), ["manual", "sync"])
check("a tag", names(attribute_filters=["team:search"]), ["sync"])
check("errors", names(has_errors=True), ["risky"])
spans = c.get_trace_spans_from_filters(client.TraceFilters(service_name=service, attribute_filters=["shop:one"])).spans
check("spans by a filter", sorted(s.span_name for s in spans), ["inner", "sync"])
linked = page(attribute_filters=[], limit=1000)
entity = next(e for x in linked.items if x.root_operation == "linked" for e in x.entity_ids)
now = dt.datetime.now(dt.timezone.utc)
metrics = lambda **more: sum(m.trace_count for m in c.get_trace_metrics(client.TraceMetricsRequest(
    start_time=now - dt.timedelta(hours=1), end_time=now + dt.timedelta(minutes=1), bucket_interval="minute", service_name=service, **more)).metrics)
check("metrics of an entity", metrics(entity_uid=entity), 1)
check("metrics by attributes", metrics(attribute_filters=["shop:one", "text:t"]), 2)

# The client cannot send tags by themselves; what it reads of them it can.
head = {"Username": "admin", "Password": "admin"}
token = json.load(urllib.request.urlopen(urllib.request.Request(a.http + "/scouter/auth/login", headers=head)))["token"]
for tag in ({"entity_type": "Agent", "entity_id": entity, "key": "team", "value": "search"}, {"entity_type": "trace", "entity_id": some[0], "key": "reviewed", "value": "yes"}):
    urllib.request.urlopen(urllib.request.Request(a.http + "/scouter/message", json.dumps(tag).encode(), {"Authorization": "Bearer " + token, "Content-Type": "application/json"})).read()
check("tags of an entity", [(t.key, t.value) for t in c.get_tags("Agent", entity).tags], [("team", "search")])
check("tags of a trace", [(t.key, t.value) for t in c.get_tags("trace", some[0]).tags if t.key == "reviewed"], [("reviewed", "yes")])

for active in (None, True, False):
    for direction in (None, "next", "previous"):
        c.get_alerts(client.DriftAlertPaginationRequest(uid=entity, active=active, limit=5, cursor_created_at=now, cursor_id=7, direction=direction, start_datetime=now - dt.timedelta(days=1), end_datetime=now))

for at in (a.otlp_http, a.otlp_http + "/scouter/v1/traces", a.http, a.http + "/scouter/v1/traces"):
    scouter.tracing.init_tracer(service_name="ask-" + a.run, transport_config=mock.MockConfig(), exporter=tracing.HttpSpanExporter(export_config=tracing.OtelExportConfig(endpoint=at)))
    t = tracing.get_tracer("ask")
    with t.start_as_current_span("asked") as s:
        trace = s.trace_id
    t.shutdown()
    check("span sent to " + at, [x.span_name for x in eventually(lambda: c.get_trace_spans(trace).spans) or []], ["asked"])

print("\n".join(wrong), file=sys.stderr)
sys.exit(1 if wrong else 0)
