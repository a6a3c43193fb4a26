#!/usr/bin/env python3
"""Drives the published Scouter client (PyPI: scouter-ml, import name: scouter) at a server that speaks Scouter's protocol.

Only scouter-ml's public API is used; the client is not patched. Profiles and queries always go over HTTP (the client has no
other way); records and spans go over the transport named by --transport. Everything sent is printed as one JSON report,
with what the server must be able to answer about it. With --verify the same client reads it back, and the exit status is 1
if anything is missing or different.

    pip install scouter-ml polars numpy pydantic
    drive.py --transport http     --http http://127.0.0.1:8000
    drive.py --transport grpc     --http http://127.0.0.1:8000 --grpc 127.0.0.1:50051 --verify
    drive.py --transport kafka    --http http://127.0.0.1:8000 --kafka 127.0.0.1:9092
    drive.py --transport rabbitmq --http http://127.0.0.1:8000 --rabbitmq 127.0.0.1:5672
    drive.py --transport redis    --http http://127.0.0.1:8000 --redis redis://127.0.0.1:6379
    drive.py --transport grpc ... --otlp-http http://127.0.0.1:4318 --otlp-grpc http://127.0.0.1:4317

Exit status: 0 all sent (and verified), 1 something was wrong, 2 usage.
"""
import argparse
import asyncio
import datetime as dt
import json
import os
import pathlib
import sys
import tempfile
import time
import uuid

from importlib.metadata import version

os.environ.setdefault("LOG_LEVEL", "error")  # read by the client when it is imported

import polars
import scouter
from pydantic import BaseModel
from scouter import alert, client, tracing, transport, types

# The name changed after 0.25.0: GenAI became Agent, in Python and on the wire.
AGENT = not hasattr(scouter, "GenAIEvalProfile")
EvalProfile = scouter.AgentEvalProfile if AGENT else scouter.GenAIEvalProfile
EvalConfig = scouter.AgentEvalConfig if AGENT else scouter.GenAIEvalConfig
EVAL_TYPE = types.DriftType.Agent if AGENT else types.DriftType.GenAI

KINDS = {"spc": types.DriftType.Spc, "psi": types.DriftType.Psi, "custom": types.DriftType.Custom, "eval": EVAL_TYPE}
STEPS = ["register", "queue", "edge", "trace", "link", "sample", "remote", "otlp"]


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--transport", required=True, choices=["http", "grpc", "kafka", "rabbitmq", "redis"])
    p.add_argument("--http", required=True, metavar="URL", help="the server's HTTP address, without /scouter")
    p.add_argument("--grpc", metavar="HOST:PORT", default="127.0.0.1:50051")
    p.add_argument("--kafka", metavar="HOST:PORT", default="127.0.0.1:9092")
    p.add_argument("--rabbitmq", metavar="HOST:PORT", default="127.0.0.1:5672")
    p.add_argument("--rabbitmq-user", default="guest")
    p.add_argument("--rabbitmq-password", default="guest")
    p.add_argument("--redis", metavar="URL", default="redis://127.0.0.1:6379")
    p.add_argument("--topic", default="scouter_monitoring", help="topic, queue or channel of the broker")
    p.add_argument("--username", default="admin")
    p.add_argument("--password", default="admin")
    p.add_argument("--space", default="accept")
    p.add_argument("--run", default=uuid.uuid4().hex[:8], help="a word that makes the names of this run unique")
    p.add_argument("--only", default=",".join(STEPS), help="comma list of: " + " ".join(STEPS))
    p.add_argument("--otlp-http", metavar="URL", help="a second way for spans: OTLP over HTTP; /v1/traces is appended")
    p.add_argument("--otlp-grpc", metavar="URL", help="a second way for spans: OTLP over gRPC, with http://")
    p.add_argument("--drain", type=float, default=1.5, help="seconds between the last insert and shutdown")
    p.add_argument("--verify", action="store_true", help="read everything back with the client")
    p.add_argument("--settle", type=float, default=30, help="seconds that reading back may take to become right")
    p.add_argument("--unevaluated", action="store_true", help="the server does not evaluate: nobody waits for workflow results")
    p.add_argument("--out", help="write the report to this file as well")
    a = p.parse_args()
    a.only = a.only.split(",")
    if set(a.only) - set(STEPS):
        p.error("--only knows " + ", ".join(STEPS))
    if "register" not in a.only:
        p.error("everything needs the step register")
    return a


class Drive:
    def __init__(self, a):
        self.a = a
        self.report = {"client": version("scouter-ml"), "transport": a.transport, "run": a.run, 
                       "sent": {"messages": 0, "records": 0, "spans": 0}, "profiles": {}, "queue": {}, "traces": [], "failures": []}
        self.kept = tempfile.TemporaryDirectory(prefix="scouter-drive-")
        self.dir = pathlib.Path(self.kept.name)
        self.http = transport.HttpConfig(server_uri=a.http, username=a.username, password=a.password)

    def config(self):
        """The transport's configuration, as an application would write it."""
        a = self.a
        if a.transport == "http":
            return self.http
        if a.transport == "grpc":
            return transport.GrpcConfig(server_uri="http://" + a.grpc, username=a.username, password=a.password)
        if a.transport == "kafka":
            return transport.KafkaConfig(brokers=a.kafka, topic=a.topic)
        if a.transport == "rabbitmq":
            host, port = a.rabbitmq.rsplit(":", 1)
            return transport.RabbitMQConfig(host=host, port=int(port), username=a.rabbitmq_user, password=a.rabbitmq_password, queue=a.topic)
        return transport.RedisConfig(address=a.redis, channel=a.topic)

    def sent(self, **more):
        """Counts what the server must have received; messages of spans are not counted, their number is a matter of time."""
        for k, v in more.items():
            self.report["sent"][k] += v

    def fail(self, what):
        self.report["failures"].append(what)
        print("FAIL " + what, file=sys.stderr)

    def check(self, ok, what):
        if ok:
            print("ok   " + what, file=sys.stderr)
        else:
            self.fail(what)

    # Profiles ---------------------------------------------------------------------------------------------------------

    def register(self):
        """Registers one profile of each kind, takes over the uid the server gave, and reads each back."""
        self.client = scouter.ScouterClient(self.http)
        name, space, drifter = "accept-" + self.a.run, self.a.space, scouter.Drifter()
        data = polars.DataFrame({
            "temperature": [float(i % 100) for i in range(1000)],
            "requests": [i % 500 for i in range(1000)],
            "region": [["ap", "eu", "us"][i % 3] for i in range(1000)],
        })
        self.profiles = {
            "spc": drifter.create_drift_profile(
                data.select("temperature", "requests"), scouter.SpcDriftConfig(space=space, name=name, version="0.1.0", sample_size=25)),
            "psi": drifter.create_drift_profile(
                data, scouter.PsiDriftConfig(space=space, name=name, version="0.1.0", categorical_features=["region"],
                                             alert_config=scouter.PsiAlertConfig(features_to_monitor=["temperature", "requests", "region"],
                                                                                 threshold=alert.PsiFixedThreshold(0.25)))),
            "custom": scouter.CustomDriftProfile(
                config=scouter.CustomMetricDriftConfig(space=space, name=name, version="0.1.0", sample_size=5),
                metrics=[scouter.CustomMetric(name="MAE", baseline_value=12.4, alert_threshold=alert.AlertThreshold.Above, delta=2.3),
                         scouter.CustomMetric(name="accuracy", baseline_value=0.85, alert_threshold=alert.AlertThreshold.Below)]),
            "eval": EvalProfile(
                config=EvalConfig(space=space, name=name, version="0.1.0"),
                tasks=[scouter.AssertionTask(id="greets", context_path="output", operator=scouter.ComparisonOperator.Contains, expected_value="hello"),
                       scouter.TraceAssertionTask(id="fast", assertion=scouter.TraceAssertion.trace_duration(),
                                                  operator=scouter.ComparisonOperator.LessThan, expected_value=5000.0)],
                alias="eval"),
        }
        self.paths = {}
        for kind, p in self.profiles.items():
            before = p.config.uid
            self.client.register_profile(p, set_active=True, deactivate_others=False)
            self.check(p.config.uid != "" and p.config.version != "", f"register {kind}: server gave uid {p.config.uid}")
            self.paths[kind] = self.dir / f"{kind}.json"
            p.save_to_json(self.paths[kind])
            self.report["profiles"][kind] = {"uid": p.config.uid, "client_uid": before, "space": space, "name": name, "version": p.config.version}
            got = self.dir / f"{kind}-read.json"
            self.client.download_profile(client.GetProfileRequest(name=name, space=space, version=p.config.version, drift_type=KINDS[kind]), got)
            (read,) = json.loads(got.read_text()).values()  # the file is {"Psi": {...}}, not a profile that a queue could open
            self.check(read["config"]["uid"] == p.config.uid, f"download {kind}: the profile carries the server's uid")
        self.client.update_profile_status(client.ProfileStatusRequest(
            name=name, space=space, version=self.profiles["psi"].config.version, drift_type=KINDS["psi"], active=True, deactivate_others=False))

    # Records ----------------------------------------------------------------------------------------------------------

    def open_queue(self, *kinds):
        q = scouter.ScouterQueue.from_path({k: self.paths[k] for k in kinds or self.paths}, transport_config=self.config(), wait_for_startup=False)
        time.sleep(0.5)  # from_path never fails; a refused login shows at an insert, and only after a moment
        return q

    def queue(self):
        """Fills one queue of each kind; what is left in a buffer goes at shutdown, except SPC's."""
        q = self.open_queue()
        F, fs = scouter.Feature, scouter.Features
        spc = 55  # two chunks of 25; the client never sends the last five
        for i in range(spc):
            q["spc"].insert(fs(features=[F.float("temperature", float(i)), F.int("requests", 2 * i)]))
        psi = [{"temperature": float(i % 50), "requests": i % 250, "region": ["ap", "eu"][i % 2]} for i in range(1010)]  # one batch of 1000, ten left
        for row in psi:
            q["psi"].insert(fs(features=[F.float("temperature", row["temperature"]), F.int("requests", row["requests"]), F.string("region", row["region"])]))
        custom = [{"MAE": 10.0 + i, "accuracy": 0.5} for i in range(12)]  # two batches of five, two left
        for row in custom:
            q["custom"].insert(scouter.Metrics([scouter.Metric(k, v) for k, v in row.items()]))
        evals = [scouter.EvalRecord(context={"input": f"question {i}", "output": "hello" if i % 2 == 0 else "go away"}, id=f"{self.a.run}-{i}", session_id=f"session-{self.a.run}")
                 for i in range(27)]  # one batch of 25, two left
        for r in evals:
            q["eval"].insert(r)
        time.sleep(self.a.drain)
        began = time.time()
        q.shutdown()
        mean = lambda rows, of: sum(rows) / of
        self.report["queue"] = {
            "shutdown_seconds": round(time.time() - began, 2),
            "spc": {"inserted": spc, "messages": 2, "records": 4, "never_sent": 5,
                    "values": {"temperature": [mean(range(c * 25, c * 25 + 25), 25) for c in (0, 1)], "requests": [2 * mean(range(c * 25, c * 25 + 25), 25) for c in (0, 1)]}},
            "psi": {"inserted": len(psi), "messages": 2, "records": 2 * sum(len(f["bins"]) for f in self.profile_json("psi")["features"].values()),
                    "bins": self.bins(psi)},
            "custom": {"inserted": len(custom), "messages": 3, "records": 6,
                       "values": {"mae": [mean([r["MAE"] for r in custom[i:i + 5]], len(custom[i:i + 5])) for i in (0, 5, 10)], "accuracy": [0.5, 0.5, 0.5]}},
            "eval": {"inserted": len(evals), "messages": 2, "records": len(evals), "record_ids": [r.record_id for r in evals], "uids": [r.uid for r in evals]},
        }

        for k in KINDS:
            self.sent(messages=self.report["queue"][k]["messages"], records=self.report["queue"][k]["records"])

    def edge(self):
        """A mean that is not a number goes as null, beside a good value; the good value must not suffer."""
        q = self.open_queue("custom")
        for _ in range(5):
            q["custom"].insert(scouter.Metrics([scouter.Metric("MAE", float("nan")), scouter.Metric("accuracy", 0.5)]))
        time.sleep(self.a.drain)
        q.shutdown()
        self.sent(messages=1, records=2)
        t = self.tracer()
        with t.start_as_current_span("Grüße ☃", attributes=[{"ключ": "значение"}]) as s:
            trace_id = s.trace_id
            s.set_attribute("nan", float("nan"))  # the client makes it the text null
            s.set_attribute("mixed", [1, "a", 2.5])
            s.set_input({"text": "é" * 30})
        t.shutdown()
        self.note("edge", trace_id, {"name": "Grüße ☃", "status": 1, "attributes": {"ключ": "значение", "nan": "null"}, "input": {"text": "é" * 30}})

    def profile_json(self, kind):
        return json.loads(self.paths[kind].read_text())

    def bins(self, rows):
        """What each bin of the PSI profile must have counted: lower < value <= upper, or the category's number."""
        p, out = self.profile_json("psi"), {}
        ids = p["config"]["feature_map"]["features"]
        limit = lambda v: v if isinstance(v, (int, float)) else {"inf": float("inf"), "-inf": float("-inf")}[v]
        for name, f in p["features"].items():
            values = [ids[name][r[name]] if name in ids else r[name] for r in rows]
            if f["bin_type"] == "Category":
                out[name] = {b["id"]: values.count(b["id"]) for b in f["bins"]}
            else:
                out[name] = {b["id"]: sum(limit(b["lower_limit"]) < v <= limit(b["upper_limit"]) for v in values) for b in f["bins"]}
        return out

    # Spans ------------------------------------------------------------------------------------------------------------

    def tracer(self, **more):
        scouter.tracing.init_tracer(service_name="drive-" + self.a.run, transport_config=self.config(), **more)
        return tracing.get_tracer("drive-" + self.a.run)

    def note(self, step, trace_id, *spans):
        self.report["traces"].append({"step": step, "trace_id": trace_id, "spans": list(spans)})
        if step != "sample":
            self.sent(spans=len(spans))

    def trace(self):
        """One trace for each way to make a span."""
        t = self.tracer(batch_config=tracing.BatchConfig(max_queue_size=4096, scheduled_delay_ms=500, max_export_batch_size=1024))
        here = lambda: tracing.get_tracing_headers_from_current_span()["trace_id"]
        seen = {}

        class Question(BaseModel):
            user_id: int
            text: str

        @t.span("sync", tags=[{"team": "search"}], label="ml", attributes=[{"shop": "one"}])
        def sync(q: Question, n=3):
            seen["sync"] = here()
            return inner(n)

        @t.span("inner")
        def inner(n):
            return {"processed": n}

        @t.span("stream", capture_last_stream_item=True)
        def stream(n):
            seen["stream"] = here()
            for i in range(n):
                yield {"index": i}

        @t.span("joined", join_stream_items=True)
        def joined(n):
            seen["joined"] = here()
            for i in range(n):
                yield f"part{i} "

        @t.span("async")
        async def asynchronous(n):
            await asyncio.sleep(0.001)
            return n + 1

        @t.span("async_stream", capture_last_stream_item=True)
        async def async_stream(n):
            for i in range(n):
                yield {"index": i}

        @t.span("risky")
        def risky():
            seen["risky"] = here()
            raise ValueError("no such customer")

        async def workflow():
            async with t.start_as_current_span("workflow", kind=tracing.SpanKind.Consumer) as s:
                seen["workflow"] = s.trace_id
                async for _ in async_stream(2):
                    pass
                s.set_output({"sum": sum(await asyncio.gather(asynchronous(1), asynchronous(2)))})

        sync(Question(user_id=7, text="x" * 1500))
        list(stream(3))
        list(joined(3))
        asyncio.run(workflow())
        try:
            risky()
        except ValueError:
            pass
        with t.start_as_current_span("manual", kind=tracing.SpanKind.Server, baggage=[{"user": "bob"}]) as s:
            seen["manual"] = s.trace_id
            s.set_tag("environment", "production")
            for k, v in {"int": 3, "float": 2.5, "bool": True, "text": "t", "list": [1, 2], "dict": {"a": 1}}.items():
                s.set_attribute(k, v)
            s.add_event("validated", {"checks": 5, "milliseconds": 2.5, "ok": True})
            s.set_input({"q": "z" * 50}, max_length=10)
            s.set_output("plain")
            with t.start_as_current_span("call", kind=tracing.SpanKind.Client) as c:
                try:
                    raise KeyError("k")
                except KeyError as e:
                    c.record_exception(e)
        t.shutdown()
        self.note("sync", seen["sync"],
                  {"name": "sync", "kind": "INTERNAL", "status": 1, "attributes": {"shop": "one", "function.name": "sync", "function.type": "Sync"},
                   "tags": {"team": "search"}, "label": "ml", "input": {"n": 3, "q": {"text": "x" * 1000 + "...[truncated]", "user_id": 7}}, "output": {"processed": 3}},
                  {"name": "inner", "parent": "sync", "status": 1, "input": {"n": 3}, "output": {"processed": 3}})
        self.note("stream", seen["stream"], {"name": "stream", "status": 1, "attributes": {"function.type": "SyncGenerator", "function.streaming": "true"}, "output": {"index": 2}})
        self.note("joined", seen["joined"], {"name": "joined", "status": 1, "output": "part0 part1 part2 "})
        self.note("workflow", seen["workflow"], {"name": "workflow", "kind": "CONSUMER", "status": 1, "output": {"sum": 5}},
                  {"name": "async_stream", "parent": "workflow", "output": {"index": 1}}, {"name": "async", "parent": "workflow", "output": 2}, {"name": "async", "parent": "workflow", "output": 3})
        self.note("risky", seen["risky"], {"name": "risky", "status": 2, "status_message": "Exception occurred", "attributes": {"error.type": "ValueError"}, "events": ["span.error"]})
        self.note("manual", seen["manual"],
                  {"name": "manual", "kind": "SERVER", "status": 1, "attributes": {"int": 3, "float": 2.5, "bool": True, "text": "t", "user": "bob"}, "tags": {"environment": "production"},
                   "events": ["validated"], "input": {"q": "z" * 10 + "...[truncated]"}, "output": "plain"},
                  {"name": "call", "kind": "CLIENT", "parent": "manual", "status": 1, "events": ["exception"]})

    def link(self):
        """A record put into the queue through a span: the span carries an event with the record's uid."""
        q, t = self.open_queue("eval", "psi"), self.tracer(batch_config=tracing.BatchConfig(scheduled_delay_ms=200))
        t.set_scouter_queue(q)
        record = scouter.EvalRecord(context={"input": "linked", "output": "hello"}, id="linked-" + self.a.run)
        with t.start_as_current_span("linked") as s:
            s.add_queue_item("eval", record)
            s.add_queue_item("psi", scouter.Features([scouter.Feature.float("temperature", 20.0), scouter.Feature.int("requests", 5), scouter.Feature.string("region", "eu")]))
            trace_id = s.trace_id
        time.sleep(self.a.drain)
        q.shutdown()
        t.shutdown()
        self.sent(messages=2, records=1 + sum(len(f["bins"]) for f in self.profile_json("psi")["features"].values()))
        self.report["link"] = {"trace_id": trace_id, "record_uid": record.uid, "record_id": record.record_id, "entity_uid": self.profiles["eval"].config.uid}
        self.note("link", trace_id, {"name": "linked", "status": 1, "events": ["scouter.queue.event"]})

    def sample(self):
        """Ratio 0 sends nothing; 1 everything; between, whole traces by their id."""
        out = {}
        for ratio in (0.0, 0.25, 1.0):
            t = self.tracer(sample_ratio=ratio)
            ids = []
            for _ in range(100):
                with t.start_as_current_span("sampled") as s:
                    if s.is_recording():
                        ids.append(s.trace_id)
            t.shutdown()
            out[str(ratio)] = {"started": 100, "sent": len(ids)}
            self.sent(spans=len(ids))
            for i in ids[:3]:
                self.note("sample", i, {"name": "sampled", "status": 1})
        self.report["sample"] = out

    def remote(self):
        """A parent in another process, by the three headers."""
        t = self.tracer()
        with t.start_as_current_span("caller", kind=tracing.SpanKind.Client) as s:
            headers, trace_id = tracing.get_tracing_headers_from_current_span(), s.trace_id
        with t.start_as_current_span("handler", kind=tracing.SpanKind.Server, trace_id=headers["trace_id"], span_id=headers["span_id"],
                                     remote_sampled=headers["is_sampled"] == "true"):
            pass
        t.shutdown()
        self.report["headers"] = headers
        self.note("remote", trace_id, {"name": "caller", "kind": "CLIENT", "status": 1}, {"name": "handler", "kind": "SERVER", "parent": "caller", "status": 1})

    def otlp(self):
        """The same spans to a second place over OTLP. The two exporters share trace ids and span ids."""
        ways = []
        if self.a.otlp_http:
            ways.append(("http", tracing.HttpSpanExporter(export_config=tracing.OtelExportConfig(endpoint=self.a.otlp_http + "/v1/traces"))))
        if self.a.otlp_grpc:
            ways.append(("grpc", tracing.GrpcSpanExporter(export_config=tracing.OtelExportConfig(endpoint=self.a.otlp_grpc))))
        for name, exporter in ways:
            t = self.tracer(exporter=exporter)
            with t.start_as_current_span("otlp-" + name) as s:
                trace_id = s.trace_id
            t.shutdown()
            self.note("otlp", trace_id, {"name": "otlp-" + name, "status": 1})

    # Reading back -----------------------------------------------------------------------------------------------------

    def eventually(self, what, f):
        """Asks until the answer is right, or the time is over."""
        end, last = time.time() + self.a.settle, "never asked"
        while True:
            try:
                last = f()
            except Exception as e:  # a server that does not know yet
                last = f"{type(e).__name__}: {e}"
            if last is None:
                self.check(True, what)
                return
            if time.time() > end:
                self.fail(f"{what}: {last}")
                return
            time.sleep(0.5)

    def verify(self):
        for t in self.report["traces"]:
            self.eventually(f"trace {t['step']} {t['trace_id']}", lambda: self.wrong_trace(t))
        if "queue" in self.a.only:
            for kind in KINDS:
                if kind == "eval" and self.a.unevaluated:
                    continue
                self.eventually(f"drift of {kind}", lambda: self.wrong_drift(kind))
        for t in self.report["traces"]:
            for s in t["spans"]:
                for k, v in s.get("tags", {}).items():
                    self.eventually(f"tag {k}={v}", lambda: None if any(g.key == k and g.value == v for g in self.client.get_tags("trace", t["trace_id"]).tags) else "not there")
        now = dt.datetime.now(dt.timezone.utc)
        if self.report["traces"]:
            since = now - dt.timedelta(hours=1)
            service = "drive-" + self.a.run
            self.eventually("traces of the service", lambda: None if self.client.get_paginated_traces(client.TraceFilters(service_name=service, start_time=since, limit=50)).items else "none")
            self.eventually("metrics of the service", lambda: None if self.client.get_trace_metrics(
                client.TraceMetricsRequest(start_time=since, end_time=now + dt.timedelta(minutes=1), bucket_interval="hour", service_name=service)).metrics else "none")
        if "link" in self.report:
            l = self.report["link"]
            for key, f in (("queue_uid", client.TraceFilters(queue_uid=l["record_uid"])), ("entity_uid", client.TraceFilters(entity_uid=l["entity_uid"]))):
                self.eventually(f"trace of {key}", lambda: None if l["trace_id"] in [x.trace_id for x in self.client.get_paginated_traces(f).items] else "not among the answers")
        self.client.get_alerts(client.DriftAlertPaginationRequest(uid=self.profiles["psi"].config.uid))

    def wrong_trace(self, t):
        """None, or what is wrong with the spans that the server has of this trace."""
        got = self.client.get_trace_spans(t["trace_id"]).spans
        if sorted(s.span_name for s in got) != sorted(s["name"] for s in t["spans"]):
            return f"spans {sorted(s.span_name for s in got)}"
        names = {s.span_id: s.span_name for s in got}
        left = list(got)
        for want in t["spans"]:
            near = [s for s in left if s.span_name == want["name"] and ("output" not in want or s.output == want["output"])]
            if not near:
                return f"{want['name']}: output is none of {[s.output for s in left if s.span_name == want['name']]}"
            s = near[0]
            left.remove(s)
            have = {a.key: a.value for a in s.attributes}
            pairs = [("kind", s.span_kind), ("status", s.status_code), ("status_message", s.status_message), ("input", s.input), ("parent", names.get(s.parent_span_id or ""))]
            for key, value in pairs:
                if key in want and value != want[key]:
                    return f"{want['name']}: {key} is {value!r}, not {want[key]!r}"
            for key, value in want.get("attributes", {}).items():
                if have.get(key) != value:
                    return f"{want['name']}: attribute {key} is {have.get(key)!r}, not {value!r}"
            for e in want.get("events", []):
                if e not in [x.name for x in s.events]:
                    return f"{want['name']}: no event {e}"
        return None

    def wrong_drift(self, kind):
        """None, or what is wrong with the newest hour of this profile."""
        p = self.report["profiles"][kind]
        req = client.DriftRequest(uid=p["uid"], space=p["space"], time_interval=client.TimeInterval.OneHour, max_data_points=1)
        got = self.client.get_binned_drift(req, KINDS[kind])
        want = self.report["queue"][kind]
        near = lambda a, b: abs(a - b) < 1e-9 * max(1.0, abs(b))
        mean = lambda v: sum(v) / len(v)
        if kind == "eval":  # evaluated by workers of the server, in their own time
            return None if got.metrics else "no workflow results"
        if kind == "psi":
            missing = set(want["bins"]) - set(got.features)
            if missing:
                return f"features missing: {sorted(missing)}"
            for feature, bins in want["bins"].items():
                total = sum(bins.values())
                have = got.features[feature].bins
                for b, n in bins.items():
                    if abs(have.get(b, 0.0) - n / total) > 0.01:  # the step link adds one row
                        return f"{feature} bin {b}: {have.get(b)}, not {n / total}"
            return None
        have = got.features if kind == "spc" else got.metrics
        for name, values in want["values"].items():
            if name not in have:
                return f"{name} missing"
            points = have[name].values if kind == "spc" else [s.avg for s in have[name].stats]
            if len(points) == 1 and not near(points[0], mean(values)):  # two buckets if the hour's edge lies between
                return f"{name}: {points}, not {mean(values)}"
        return None


def main():
    a = arguments()
    d = Drive(a)
    for step in STEPS:
        if step not in a.only:
            continue
        print("step " + step, file=sys.stderr)
        try:
            getattr(d, step)()
        except Exception as e:
            d.fail(f"{step}: {type(e).__name__}: {e}")
            if step == "register":
                break
    if a.verify and not d.report["failures"]:
        print("verify", file=sys.stderr)
        d.verify()
    d.report["ok"] = not d.report["failures"]
    text = json.dumps(d.report, indent=1)
    print(text)
    if a.out:
        pathlib.Path(a.out).write_text(text)
    sys.exit(0 if d.report["ok"] else 1)


if __name__ == "__main__":
    main()
