#!/usr/bin/env python3
"""Writes checks.json.gz: what the published client makes of checks by its own offline evaluation.

    pip install scouter-ml==0.25.0 && python checks.py checks.json.gz

Everything that is asked is in here, by scouter-ml's public API; what it answers, or that it gives up on a record
(an error), is written down. Tasks are written as the client writes them into a profile.
"""
import gzip
import json
import os
import sys

os.environ.setdefault("LOG_LEVEL", "off")  # it tells of each error

import scouter
from scouter import evaluate as ev
from scouter import mock

Op = ev.ComparisonOperator
OPERATORS = [n for n in dir(Op) if n[0].isupper()]
A, T, F, G = ev.AssertionTask, ev.TraceAssertion, ev.SpanFilter, ev.AgentAssertion

# Values, and what they are held against.
VALUES = [
    None, True, False, 0, -1, 7, 7.0, 7.5, -0.5, 1e300, 9007199254740993, 18446744073709551615, "", "7", "7.0", "0x7", " 7", "abc", "ABC", "aBc1", "ábc", "straße", "日本",
    "Hello world", "hello-world", "naïve café", "café!", "a_b c", "ⅷ", "१२३", "user@example.com", "user@example", "http://example.com/a?b", "https://example.com:80/x", "http://localhost", "ftp://x.y",
    "123e4567-e89b-12d3-a456-426614174000", "123e4567e89b12d3a456426614174000", "2026-11-28", "2026-11-28T08:00:00Z", "2026-11-28T08:00:00.5+02:00", "2026-11-28 08:00:00", '{"a":1}', "{a}", "[1,", "null",
    [], [1], [1, 2, 3], [1, 1.0], [1, 1], ["a", "b"], ["abc", "abd"], [[1], [1]], [None], [True, "x", 3], [5, 7.5], {}, {"a": 1}, {"a": {"b": [1]}},
]
EXPECTED = [
    None, True, 7, 7.0, "7", -1, 3, 0, "abc", "b", "", "world", "café", "a", [1, 2, 3], [1], ["a"], ["abc", "x"], [0, 10], [7.2, 0.5], [1, "x"], {"a": 1}, "^a.c$", r"\d+", r"^\w+$", r"[\s\w]+$", r"\bcaf",
    "(", [[1]], "${w}", "${nowhere}",
]
BLIND = [n for n in OPERATORS if n.startswith("Is") or n == "HasUniqueItems"]  # they do not look at what is expected


def tasks_of(tasks):
    """The tasks as they stand in a profile."""
    p = scouter.GenAIEvalProfile(config=scouter.GenAIEvalConfig(space="s", name="n", version="0.1.0"), tasks=tasks)
    return json.loads(p.model_dump_json())["tasks"]


def evaluated(tasks, contexts):
    """For each context the results by task and the counts; None where the client gave up."""
    records = [ev.EvalRecord(context=c, id=str(i)) for i, c in enumerate(contexts)]
    out = [None] * len(contexts)
    for r in json.loads(ev.EvalDataset(records=records, tasks=tasks).evaluate().model_dump_json())["aligned_results"]:
        if r["success"]:
            inner = r["eval_set"]["inner"]
            out[int(r["record_id"])] = {
                "results": {t["task_id"]: {"passed": t["passed"], "actual": t["actual"], "stage": t["stage"]} for t in r["eval_set"]["records"]},
                "passed": inner["passed_tasks"], "failed": inner["failed_tasks"],
            }
    return out


def operators():
    """A sign for each value: + passed, - failed, ! an error."""
    rows = []
    for name in OPERATORS:
        for expected in EXPECTED[:1] if name in BLIND else EXPECTED:
            task = A(id="t", context_path="v", operator=getattr(Op, name), expected_value=expected)
            found = evaluated([task], [{"v": v, "w": 7} for v in VALUES])
            signs = "".join("!" if f is None else "+" if f["results"]["t"]["passed"] else "-" for f in found)
            rows.append({"operator": name, "expected": expected, "signs": signs})
    return {"values": VALUES, "rows": rows}


def plans():
    """Paths, lists, templates, dependencies and gates."""
    users = {"users": [{"name": "ann", "age": 30, "tags": ["x"]}, {"name": "bob", "age": 41}], "n": 2, "limit": 50, "a-b": {"c": 1}, "deep": {"list": [[1, 2], [3]]}, "text": "hi"}
    one = lambda path, op, want, item=None, **more: A(id=more.pop("id", "t"), context_path=path, item_context_path=item, operator=op, expected_value=want, **more)
    cases = [
        ([one("users", Op.GreaterThan, 18, "age")], users), ([one("users", Op.GreaterThan, 35, "age")], users), ([one("users", Op.GreaterThan, 18, "height")], users),
        ([one("users[1].name", Op.Equals, "bob")], users), ([one("users[2].name", Op.Equals, "bob")], users), ([one("users.name", Op.Equals, "bob")], users),
        ([one("users", Op.HasLengthEqual, "${n}")], users), ([one("n", Op.LessThan, "${limit}")], users), ([one("n", Op.LessThan, "${nope}")], users),
        ([one("deep.list[0][1]", Op.Equals, 2)], users), ([one("deep.list", Op.HasLengthEqual, 2)], users), ([one("deep.list", Op.NotContains, 3)], users),
        ([one("a-b", Op.Equals, 1)], users), ([one("", Op.IsObject, True)], users), ([one(None, Op.IsObject, True)], users), ([one("text", Op.StartsWith, "h")], users),
        ([one("users", Op.IsEmail, None, "name")], users), ([one("users", Op.IsAlphabetic, None, "name")], users), ([one("users", Op.Equals, "${n}", "age")], users),
        ([one("x", Op.GreaterThan, 1)], {"x": []}), ([one("x", Op.GreaterThan, 1)], {"x": [2, "a"]}), ([one("x", Op.Equals, 2)], {"x": [2, 2.0, "2"]}),
        # One after another.
        ([one("n", Op.Equals, 2, id="a"), one("a", Op.Equals, 2, id="b", depends_on=["a"])], users),
        ([one("users", Op.HasLengthEqual, 2, id="a"), one("a", Op.LessThan, 3, id="b", depends_on=["a"]), one("b", Op.Equals, 2, id="c", depends_on=["b"])], users),
        ([one("n", Op.Equals, 3, id="a"), one("a", Op.Equals, 2, id="b", depends_on=["a"])], users),
        # Gates.
        ([one("n", Op.Equals, 2, id="gate", condition=True), one("text", Op.Equals, "hi", id="b", depends_on=["gate"])], users),
        ([one("n", Op.Equals, 3, id="gate", condition=True), one("text", Op.Equals, "hi", id="b", depends_on=["gate"]), one("text", Op.Equals, "hi", id="c", depends_on=["b"]), one("n", Op.Equals, 2, id="d")], users),
        ([one("n", Op.Equals, 3, id="gate", condition=True)], users),
        ([one("n", Op.Equals, 2, id="g1", condition=True), one("n", Op.Equals, 3, id="g2", condition=True, depends_on=["g1"]), one("text", Op.Equals, "hi", id="z", depends_on=["g1", "g2"])], users),
        # Results in the order in which they do not stand.
        ([one("y", Op.Equals, 2, id="z", depends_on=["y"]), one("n", Op.Equals, 2, id="y")], users),
    ]
    return [{"tasks": tasks_of(t), "context": c, "found": evaluated(t, [c])[0]} for t, c in cases]


def spans_of(spans):
    keys = ["trace_id", "span_id", "parent_span_id", "span_name", "start_time", "end_time", "duration_ms", "status_code", "service_name", "depth", "span_order"]
    out, zero = [], min(s.start_time for s in spans)  # they are of now
    for s in spans:
        one = {k: getattr(s, k) for k in keys}
        for k in ("start_time", "end_time"):
            one[k] = round((one[k] - zero).total_seconds() * 1e6)  # microseconds
        one["attributes"] = [{"key": a.key, "value": a.value} for a in s.attributes]
        out.append(one)
    return out


def tried(run):
    try:
        r = run().results["t"]
        return {"passed": r.passed, "actual": r.actual}
    except Exception:
        return None


def traces():
    made = {n[len("create_"):]: getattr(mock, n)() for n in dir(mock) if n.startswith("create_")}
    Agg, St = ev.AggregationType, ev.SpanStatus
    out = {"traces": {n: spans_of(s) for n, s in made.items()}, "cases": []}
    names = sorted({s.span_name for spans in made.values() for s in spans})
    keys = sorted({a.key for spans in made.values() for s in spans for a in s.attributes})
    some = [(a.key, a.value) for spans in made.values() for s in spans for a in s.attributes]
    filters = [F.by_name(n) for n in names] + [F.by_name("nobody"), F.by_name_pattern("^c.*"), F.by_name_pattern(r"\d"), F.by_name_pattern("(")] + [F.with_attribute(k) for k in keys]
    filters += [F.with_attribute_value(k, v) for k, v in some] + [F.with_status(s) for s in (St.Ok, St.Error, St.Unset)] + [F.with_duration(min_ms=100), F.with_duration(max_ms=100), F.with_duration(50, 200)]
    filters += [F.by_name(names[0]).or_(F.by_name(names[1])), F.with_status(St.Ok).and_(F.with_duration(min_ms=100)), F.by_name("nobody").or_(F.with_status(St.Error))]
    asks = [(T.span_count(f), Op.GreaterThanOrEqual, 2) for f in filters] + [(T.span_exists(f), Op.Equals, True) for f in filters] + [(T.span_duration(f), Op.LessThan, 150) for f in filters]
    asks += [(T.span_attribute(f, k), Op.IsNotEmpty, None) for f in filters[:12] for k in keys] + [(T.span_attribute(f, k), Op.Equals, v) for f in filters[:4] for k, v in some]
    asks += [(T.span_aggregation(f, k, a), Op.GreaterThan, 0) for f in filters[-8:] for k in keys for a in (Agg.Count, Agg.Sum, Agg.Average, Agg.Min, Agg.Max, Agg.First, Agg.Last)]
    asks += [(t(), Op.LessThanOrEqual, w) for t in (T.trace_duration, T.trace_span_count, T.trace_error_count, T.trace_service_count, T.trace_max_depth) for w in (0, 1, 3, 500)]
    asks += [(T.trace_attribute(k), Op.IsNotEmpty, None) for k in keys + ["nothing"]]
    for spans in made.values():
        order = [s.span_name for s in sorted(spans, key=lambda s: s.span_order)]
        asks += [(T.span_sequence(order), Op.Equals, True), (T.span_sequence(order[:2]), Op.Equals, True), (T.span_set(order[:2]), Op.Equals, True), (T.span_count(F.sequence(order[:2])), Op.Equals, 1)]
    asks += [(T.span_set(["nobody"]), Op.Equals, False), (T.span_count(F.sequence([])), Op.Equals, 0)]
    inner = [ev.AttributeFilterTask.assertion(A(id="i", context_path=None, operator=o, expected_value=w)) for o, w in ((Op.IsNumeric, None), (Op.IsString, None), (Op.GreaterThan, 1), (Op.Contains, "a"))]
    asks += [(T.attribute_filter(k, i, m), Op.Equals, True) for k in keys + ["nothing"] for i in inner for m in (ev.MultiResponseMode.Any, ev.MultiResponseMode.All)]
    for assertion, op, want in asks:
        task = ev.TraceAssertionTask(id="t", assertion=assertion, operator=op, expected_value=want)
        out["cases"].append({"tasks": tasks_of([task]), "found": {n: tried(lambda: ev.execute_trace_assertion_tasks([task], s)) for n, s in made.items()}})
    return out


def answers():
    calls = [{"id": "c1", "type": "function", "function": {"name": "search", "arguments": '{"q": "cats", "n": 3, "deep": {"a": 1, "b": 2}}'}}, {"id": "c2", "type": "function", "function": {"name": "buy", "arguments": "not json"}}]
    choice = lambda **m: {"index": 0, "finish_reason": m.pop("finish", "stop"), "message": {"role": "assistant", **m}}
    openai = {"id": "r1", "object": "chat.completion", "created": 1, "model": "gpt-4o", "choices": [choice(content="Hello there")], "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}}
    contexts = {
        "openai": openai, "openai_tools": {**openai, "choices": [choice(content=None, tool_calls=calls, finish="tool_calls")]}, "openai_none": {**openai, "choices": []},
        "inside": {"response": openai, "x": 1},
        "anthropic": {"id": "m", "type": "message", "role": "assistant", "model": "claude-x", "stop_reason": "tool_use", "stop_sequence": None, "usage": {"input_tokens": 20, "output_tokens": 7},
                      "content": [{"type": "text", "text": "one"}, {"type": "tool_use", "id": "t", "name": "search", "input": {"q": "dogs", "n": 1}}, {"type": "text", "text": "two"}]},
        "gemini": {"candidates": [{"content": {"role": "model", "parts": [{"text": "bonjour"}]}, "finishReason": "STOP"}], "modelVersion": "gemini-2", "usageMetadata": {"promptTokenCount": 4, "candidatesTokenCount": 6, "totalTokenCount": 10}},
        "gemini_tools": {"candidates": [{"content": {"role": "model", "parts": [{"functionCall": {"name": "search", "args": {"q": "x"}}}]}, "finishReason": "STOP"}]},
        "nobody": {"output": "hello"}, "text": "hello",
    }
    asks = [(G.tool_called(n), Op.Equals, True) for n in ("search", "buy", "fly")] + [(G.tool_not_called(n), Op.Equals, True) for n in ("search", "fly")]
    asks += [(G.tool_called_with_args("search", a), Op.Equals, True) for a in ({}, {"q": "cats"}, {"q": "cats", "deep": {"a": 1}}, {"deep": {"a": 2}}, {"q": "dogs"}, {"n": 3.0})]
    asks += [(G.tool_call_sequence(s), Op.Equals, True) for s in ([], ["search"], ["search", "buy"], ["buy", "search"])] + [(G.tool_call_count(n), Op.GreaterThanOrEqual, 1) for n in (None, "search", "fly")]
    asks += [(G.tool_argument("search", k), Op.IsNotEmpty, None) for k in ("q", "n", "none")] + [(G.tool_argument("buy", "q"), Op.IsNull, None), (G.tool_argument("fly", "q"), Op.IsNull, None), (G.tool_result("search"), Op.IsNull, None)]
    asks += [(a(), o, w) for a in (G.response_content, G.response_model, G.response_finish_reason) for o, w in ((Op.IsNotEmpty, None), (Op.Contains, "o"))]
    asks += [(a(), o, w) for a in (G.response_input_tokens, G.response_output_tokens, G.response_total_tokens) for o, w in ((Op.GreaterThan, 9), (Op.IsNull, None))]
    asks += [(G.response_field(p), Op.IsNotEmpty, None) for p in ("model", "choices[0].message.content", "usage.total_tokens", "no.such[3].thing", "content[1].input.q", "")]
    out = {"contexts": contexts, "cases": []}
    for assertion, op, want in asks:
        task = ev.AgentAssertionTask(id="t", assertion=assertion, operator=op, expected_value=want)
        out["cases"].append({"tasks": tasks_of([task]), "found": {n: tried(lambda: ev.execute_agent_assertion_tasks([task], c)) for n, c in contexts.items()}})
    return out


def main():
    made = {"client": "scouter-ml 0.25.0", "operators": operators(), "plans": plans(), "traces": traces(), "answers": answers()}
    with open(sys.argv[1], "wb") as out, gzip.GzipFile("", "wb", fileobj=out, mtime=0) as f:
        f.write(json.dumps(made, ensure_ascii=False).encode())


main()
