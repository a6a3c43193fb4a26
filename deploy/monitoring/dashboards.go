package monitoring

// health is the mesh as its operators see it: is anything lost, late, full or
// refused.
func health() Dashboard {
	return Dashboard{
		UID: "driftmesh-health", Title: "driftmesh: health", Help: "Ledger, lag, dwell, throughput and errors of the mesh.",
		Rows: []Row{
			{"Is it well?", []Panel{
				{Title: "Programs that answer", Kind: Stat, Width: 4, Queries: []Query{{Expr: `sum(up{job="driftmesh"})`}}},
				{Title: "Acknowledged and missing", Help: "Must be 0: messages that neither the store nor the broker has.", Kind: Stat, Width: 4, Bad: 1,
					Queries: []Query{{Expr: `driftmesh:ledger_missing:max`}}},
				{Title: "Oldest that waits", Kind: Stat, Unit: "s", Width: 4, Warn: 60, Bad: 600, Queries: []Query{{Expr: `max(driftmesh:oldest_age_seconds:max)`}}},
				{Title: "Turned away", Help: "Of what arrives at the door.", Kind: Stat, Unit: "percentunit", Width: 4, Warn: 0.01, Bad: 0.05,
					Queries: []Query{{Expr: `driftmesh:gateway_refused:ratio_rate5m`}}},
				{Title: "Parked within the hour", Help: "driftmesh dlq list has the reasons.", Kind: Stat, Width: 4, Warn: 1, Queries: []Query{{Expr: `sum(driftmesh:parked:increase1h)`, Quiet: true}}},
				{Title: "Open alerts of drift", Kind: Stat, Width: 4, Warn: 1, Queries: []Query{{Expr: `sum(max by (state) (driftmesh_drift_alerts_open))`}}},
			}},
			{"Ledger: what came in, and what became of it", []Panel{
				{Title: "Accepted", Unit: "cps", Queries: []Query{{Expr: `sum by (signal) (rate(driftmesh_gateway_items_total{outcome="accepted"}[$__rate_interval]))`, Legend: "{{signal}}"}}},
				{Title: "Spans, settled", Unit: "cps", Queries: []Query{{Expr: `sum by (outcome) (rate(driftmesh_trace_store_spans_total[$__rate_interval]))`, Legend: "{{outcome}}"}}},
				{Title: "Records, settled", Unit: "cps", Queries: []Query{{Expr: `sum by (outcome) (rate(driftmesh_ingest_records_total[$__rate_interval]))`, Legend: "{{outcome}}"}}},
				{Title: "Refused at the door, by reason", Unit: "cps", Queries: []Query{{Expr: `sum by (signal, outcome) (rate(driftmesh_gateway_items_total{outcome!="accepted"}[$__rate_interval]))`, Legend: "{{signal}}: {{outcome}}", Quiet: true}}},
				{Title: "Rejected and dead-lettered", Unit: "cps", Queries: []Query{
					{Expr: `sum by (reason) (rate(driftmesh_ingest_rejected_total[$__rate_interval]))`, Legend: "record: {{reason}}", Quiet: true},
					{Expr: `sum by (topic, outcome) (rate(driftmesh_ingest_dead_letters_total[$__rate_interval]))`, Legend: "letter of {{topic}}: {{outcome}}", Quiet: true},
				}},
				{Title: "Missing", Help: "Every worker exports the same.", Queries: []Query{{Expr: `max by (signal) (driftmesh_ledger_missing_messages)`, Legend: "{{signal}}"}}},
			}},
			{"Lag", []Panel{
				{Title: "Messages still to do", Width: 12, Queries: []Query{{Expr: `driftmesh:lag_messages:max`, Legend: "{{topic}} → {{group}}"}}},
				{Title: "Age of the oldest", Unit: "s", Width: 12, Queries: []Query{{Expr: `driftmesh:oldest_age_seconds:max`, Legend: "{{topic}} → {{group}}"}}},
				{Title: "In flight", Width: 12, Queries: []Query{{Expr: `sum by (topic, group) (driftmesh_broker_in_flight_messages)`, Legend: "{{topic}} → {{group}}"}}},
				{Title: "Windows that wait to be recomputed", Width: 12, Queries: []Query{
					{Expr: `max(driftmesh_drift_waiting_windows)`, Legend: "windows"},
					{Expr: `max(driftmesh_drift_waiting_windows_overdue_seconds)`, Legend: "overdue, seconds"},
				}},
			}},
			{"Dwell: how long a message is on its way", []Panel{
				{Title: "From the door to the worker", Unit: "s", Queries: quantiles("{{topic}}", `sum by (le, topic) (rate(driftmesh_broker_dwell_seconds_bucket[$__rate_interval]))`)},
				{Title: "From receiving to settling", Unit: "s", Queries: quantiles("{{topic}}", `sum by (le, topic) (rate(driftmesh_broker_process_seconds_bucket[$__rate_interval]))`)},
				{Title: "Until the broker confirmed", Unit: "s", Queries: quantiles("{{topic}}", `sum by (le, topic) (rate(driftmesh_broker_publish_seconds_bucket[$__rate_interval]))`)},
			}},
			{"Throughput", []Panel{
				{Title: "Published", Unit: "cps", Queries: []Query{{Expr: `sum by (topic, outcome) (rate(driftmesh_broker_published_total[$__rate_interval]))`, Legend: "{{topic}} {{outcome}}"}}},
				{Title: "Consumed", Unit: "cps", Queries: []Query{{Expr: `sum by (topic, group) (rate(driftmesh_broker_consumed_total[$__rate_interval]))`, Legend: "{{topic}} → {{group}}"}}},
				{Title: "OTLP at the door", Unit: "Bps", Queries: []Query{{Expr: `sum(rate(driftmesh_gateway_otlp_bytes_total[$__rate_interval]))`, Legend: "unpacked"}}},
				{Title: "Inserting spans", Unit: "s", Queries: quantiles("", `sum by (le) (rate(driftmesh_trace_store_insert_seconds_bucket[$__rate_interval]))`)},
				{Title: "Inserting records", Unit: "s", Queries: quantiles("", `sum by (le) (rate(driftmesh_ingest_insert_seconds_bucket[$__rate_interval]))`)},
				{Title: "Answering OTLP", Unit: "s", Queries: quantiles("{{transport}}", `sum by (le, transport) (rate(driftmesh_gateway_otlp_request_seconds_bucket[$__rate_interval]))`)},
			}},
			{"Errors", []Panel{
				{Title: "Parked, by reason", Unit: "cps", Queries: []Query{{Expr: `sum by (topic, reason) (rate(driftmesh_broker_parked_total[$__rate_interval]))`, Legend: "{{topic}}: {{reason}}", Quiet: true}}},
				{Title: "Delivered again", Unit: "cps", Queries: []Query{
					{Expr: `sum by (topic) (rate(driftmesh_broker_redelivered_total[$__rate_interval]))`, Legend: "{{topic}} redelivered", Quiet: true},
					{Expr: `sum by (topic) (rate(driftmesh_broker_retried_total[$__rate_interval]))`, Legend: "{{topic}} given back", Quiet: true},
					{Expr: `sum by (topic) (rate(driftmesh_broker_set_aside_total[$__rate_interval]))`, Legend: "{{topic}} set aside", Quiet: true},
				}},
				{Title: "Published in vain", Unit: "cps", Queries: []Query{{Expr: `sum by (topic, outcome) (rate(driftmesh_broker_published_total{outcome!="ok"}[$__rate_interval]))`, Legend: "{{topic}} {{outcome}}", Quiet: true}}},
				{Title: "OTLP requests that failed", Unit: "reqps", Queries: []Query{{Expr: `sum by (transport, code) (rate(driftmesh_gateway_otlp_requests_total{code!="OK"}[$__rate_interval]))`, Legend: "{{transport}} {{code}}", Quiet: true}}},
				{Title: "Credentials that were refused", Unit: "cps", Queries: []Query{
					{Expr: `sum by (result) (rate(driftmesh_auth_api_key_checks_total[$__rate_interval]))`, Legend: "keys: {{result}}"},
					{Expr: `sum by (result) (rate(driftmesh_auth_logins_total[$__rate_interval]))`, Legend: "logins: {{result}}"},
				}},
				{Title: "Lost for good", Help: "Must be nothing.", Unit: "cps", Queries: []Query{
					{Expr: `sum by (topic) (rate(driftmesh_broker_lost_messages_total[$__rate_interval]))`, Legend: "{{topic}} removed unread", Quiet: true},
					{Expr: `sum by (topic) (rate(driftmesh_broker_unparkable_total[$__rate_interval]))`, Legend: "{{topic}} unparkable", Quiet: true},
				}},
			}},
			{"Memory and processors", []Panel{
				{Title: "Processors", Queries: []Query{{Expr: `sum by (program) (rate(process_cpu_seconds_total{job="driftmesh"}[$__rate_interval]))`, Legend: "{{program}}"}}},
				{Title: "Memory", Unit: "bytes", Queries: []Query{{Expr: `sum by (program) (process_resident_memory_bytes{job="driftmesh"})`, Legend: "{{program}}"}}},
				{Title: "Requests held at the door", Unit: "percentunit", Queries: []Query{{Expr: `sum(driftmesh_gateway_in_flight_bytes) / sum(driftmesh_gateway_in_flight_limit_bytes)`, Legend: "of what may be"}}},
			}},
		},
	}
}

// of narrows the calls to what the variables at the top say.
const of = `service=~"$service", grpc_service=~"$grpc_service"`

// calls is rate, errors and duration of every gRPC method, under the names that
// metrics.legacy chooses between, and under OpenTelemetry's.
func calls() Dashboard {
	byMethod := "{{service}} {{grpc_method}}"
	return Dashboard{
		UID: "driftmesh-grpc", Title: "driftmesh: gRPC", Help: "Rate, errors and duration of calls by method, as servers and as clients see them.",
		Variables: []Variable{
			{"service", "Service", `label_values(grpc_server_started_total, service)`},
			{"grpc_service", "gRPC service", `label_values(grpc_server_started_total{service=~"$service"}, grpc_service)`},
		},
		Rows: []Row{
			{"Servers", []Panel{
				{Title: "Calls", Unit: "reqps", Queries: []Query{{Expr: `sum by (service, grpc_method) (rate(grpc_server_handled_total{` + of + `}[$__rate_interval]))`, Legend: byMethod}}},
				{Title: "Calls that failed, by code", Unit: "reqps", Queries: []Query{{Expr: `sum by (grpc_method, grpc_code) (rate(grpc_server_handled_total{` + of + `, grpc_code!="OK"}[$__rate_interval]))`, Legend: "{{grpc_method}} {{grpc_code}}"}}},
				{Title: "Share that is the server's fault", Unit: "percentunit", Queries: []Query{{Expr: `driftmesh:grpc_server_faults:ratio_rate5m{` + of + `}`, Legend: byMethod}}},
				{Title: "Duration, 95th percentile", Unit: "s", Width: 12, Queries: []Query{
					{Expr: `histogram_quantile(0.95, sum by (le, service, grpc_method) (rate(grpc_server_handling_seconds_bucket{` + of + `}[$__rate_interval])))`, Legend: byMethod},
					{Expr: `histogram_quantile(0.95, sum by (le, service, grpc_method) (rate(grpc_server_handled_latency_seconds_bucket{` + of + `}[$__rate_interval])))`, Legend: byMethod + " (older name)"},
				}},
				{Title: "Open now", Width: 12, Queries: []Query{{Expr: `sum by (service, grpc_method) (grpc_server_started_total{` + of + `}) - sum by (service, grpc_method) (grpc_server_handled_total{` + of + `})`, Legend: byMethod}}},
				{Title: "Messages received", Unit: "cps", Width: 12, Queries: []Query{{Expr: `sum by (service, grpc_method) (rate(grpc_server_msg_received_total{` + of + `}[$__rate_interval]))`, Legend: byMethod}}},
				{Title: "Messages sent", Unit: "cps", Width: 12, Queries: []Query{{Expr: `sum by (service, grpc_method) (rate(grpc_server_msg_sent_total{` + of + `}[$__rate_interval]))`, Legend: byMethod}}},
			}},
			{"Clients: calls between the services", []Panel{
				{Title: "Calls", Unit: "reqps", Queries: []Query{
					{Expr: `sum by (service, grpc_method) (rate(grpc_client_handled_total{` + of + `}[$__rate_interval]))`, Legend: byMethod},
					{Expr: `sum by (service, grpc_method) (rate(grpc_client_completed{` + of + `}[$__rate_interval]))`, Legend: byMethod + " (older name)"},
				}},
				{Title: "Calls that failed, by code", Unit: "reqps", Queries: []Query{
					{Expr: `sum by (service, grpc_method, grpc_code) (rate(grpc_client_handled_total{` + of + `, grpc_code!="OK"}[$__rate_interval]))`, Legend: byMethod + " {{grpc_code}}", Quiet: true},
					{Expr: `sum by (service, grpc_method, grpc_code) (rate(grpc_client_completed{` + of + `, grpc_code!="OK"}[$__rate_interval]))`, Legend: byMethod + " {{grpc_code}} (older name)", Quiet: true},
				}},
				{Title: "Duration, 95th percentile", Unit: "s", Queries: []Query{
					{Expr: `histogram_quantile(0.95, sum by (le, service, grpc_method) (rate(grpc_client_handling_seconds_bucket{` + of + `}[$__rate_interval])))`, Legend: byMethod},
					{Expr: `histogram_quantile(0.95, sum by (le, service, grpc_method) (rate(grpc_client_completed_latency_seconds_bucket{` + of + `}[$__rate_interval])))`, Legend: byMethod + " (older name)"},
				}},
				{Title: "Waiting for a message of a stream, 95th percentile", Unit: "s", Width: 12, Queries: []Query{{Expr: `histogram_quantile(0.95, sum by (le, service, grpc_method) (rate(grpc_client_msg_recv_handling_seconds_bucket{` + of + `}[$__rate_interval])))`, Legend: byMethod}}},
				{Title: "Handing over a message of a stream, 95th percentile", Unit: "s", Width: 12, Queries: []Query{{Expr: `histogram_quantile(0.95, sum by (le, service, grpc_method) (rate(grpc_client_msg_send_handling_seconds_bucket{` + of + `}[$__rate_interval])))`, Legend: byMethod}}},
			}},
			{"OpenTelemetry's names", []Panel{
				{Title: "Calls", Unit: "reqps", Queries: []Query{{Expr: `sum by (service, grpc_method) (rate(grpc_server_call_duration_seconds_count{service=~"$service"}[$__rate_interval]))`, Legend: byMethod}}},
				{Title: "Calls that failed, by status", Unit: "reqps", Queries: []Query{{Expr: `sum by (grpc_method, grpc_status) (rate(grpc_server_call_duration_seconds_count{service=~"$service", grpc_status!="OK"}[$__rate_interval]))`, Legend: "{{grpc_method}} {{grpc_status}}"}}},
				{Title: "Duration", Unit: "s", Queries: quantiles(byMethod, `sum by (le, service, grpc_method) (rate(grpc_server_call_duration_seconds_bucket{service=~"$service"}[$__rate_interval]))`)},
				{Title: "Duration as clients see it, 95th percentile", Unit: "s", Queries: []Query{{Expr: `histogram_quantile(0.95, sum by (le, service, grpc_method) (rate(grpc_client_call_duration_seconds_bucket{service=~"$service"}[$__rate_interval])))`, Legend: byMethod}}},
				{Title: "Attempts", Unit: "reqps", Queries: []Query{{Expr: `sum by (service, grpc_method) (rate(grpc_client_attempt_started_total{service=~"$service"}[$__rate_interval]))`, Legend: byMethod}}},
				{Title: "Received and sent, compressed", Unit: "Bps", Queries: []Query{
					{Expr: `sum by (service) (rate(grpc_server_call_rcvd_total_compressed_message_size_bytes_sum{service=~"$service"}[$__rate_interval]))`, Legend: "{{service}} received"},
					{Expr: `sum by (service) (rate(grpc_server_call_sent_total_compressed_message_size_bytes_sum{service=~"$service"}[$__rate_interval]))`, Legend: "{{service}} sent"},
				}},
			}},
		},
	}
}

// drift is how judging goes, and what it found.
func drift() Dashboard {
	return Dashboard{
		UID: "driftmesh-drift", Title: "driftmesh: drift", Help: "Evaluations, verdicts, alerts and what became of the news. driftmesh drift show draws one profile.",
		Rows: []Row{
			{"Alerts", []Panel{
				{Title: "Waiting for somebody", Kind: Stat, Width: 4, Bad: 1, Queries: []Query{{Expr: `max(driftmesh_drift_alerts_open{state="waiting"})`}}},
				{Title: "Acknowledged", Kind: Stat, Width: 4, Warn: 1, Queries: []Query{{Expr: `max(driftmesh_drift_alerts_open{state="acknowledged"})`}}},
				{Title: "News", Width: 8, Queries: []Query{{Expr: `sum by (change) (increase(driftmesh_drift_notifications_total[$__rate_interval]))`, Legend: "{{change}}"}}},
				{Title: "Deliveries", Width: 8, Queries: []Query{{Expr: `sum by (route, outcome) (increase(driftmesh_drift_deliveries_total[$__rate_interval]))`, Legend: "{{route}}: {{outcome}}"}}},
				{Title: "News that wait, by route", Width: 12, Queries: []Query{{Expr: `max by (route) (driftmesh_drift_deliveries_waiting)`, Legend: "{{route}}"}}},
				{Title: "Since when", Unit: "s", Width: 12, Queries: []Query{{Expr: `max by (route) (driftmesh_drift_deliveries_oldest_seconds)`, Legend: "{{route}}"}}},
			}},
			{"Verdicts", []Panel{
				{Title: "Verdicts", Width: 12, Queries: []Query{{Source: ClickHouse, Expr: `SELECT $__timeInterval(Evaluated) AS time, toString(Verdict) AS verdict, count() AS verdicts FROM monitor_scores FINAL WHERE $__timeFilter(Evaluated) GROUP BY time, verdict ORDER BY time`}}},
				{Title: "Value of the statistic by its threshold", Help: "Above 1 it moved.", Width: 12, Queries: []Query{{Source: ClickHouse,
					Expr: `SELECT toDateTime(Slot) AS time, concat(toString(Monitor), ' of feature ', toString(Feature), ', ', substring(toString(Profile), 1, 8)) AS name, max(Value / Threshold) AS ratio FROM monitor_scores FINAL WHERE $__timeFilter(Slot) AND isFinite(Value) AND isFinite(Threshold) AND Threshold > 0 GROUP BY time, name ORDER BY time`}}},
				{Title: "What moved last", Kind: Table, Width: 24, Queries: []Query{{Source: ClickHouse,
					Expr: `SELECT Slot, Tenant, Profile, Monitor, Feature, Detector, round(Value, 4) AS Value, round(Threshold, 4) AS Threshold, Sample FROM monitor_scores FINAL WHERE $__timeFilter(Slot) AND Verdict = 'drift' ORDER BY Slot DESC LIMIT 50`}}},
			}},
			{"How judging goes", []Panel{
				{Title: "Evaluations", Unit: "cps", Queries: []Query{{Expr: `sum by (trigger, outcome) (rate(driftmesh_drift_evaluations_total[$__rate_interval]))`, Legend: "{{trigger}} {{outcome}}"}}},
				{Title: "Time of one", Unit: "s", Queries: quantiles("", `sum by (le) (rate(driftmesh_drift_evaluate_seconds_bucket[$__rate_interval]))`)},
				{Title: "From its slot to its end", Unit: "s", Queries: quantiles("", `sum by (le) (rate(driftmesh_drift_slot_lag_seconds_bucket[$__rate_interval]))`)},
				{Title: "Windows recomputed", Unit: "cps", Queries: []Query{{Expr: `sum(rate(driftmesh_drift_windows_recomputed_total[$__rate_interval]))`, Legend: "windows"}}},
				{Title: "Time to recompute", Unit: "s", Queries: quantiles("", `sum by (le) (rate(driftmesh_drift_recompute_seconds_bucket[$__rate_interval]))`)},
				{Title: "Records that came", Unit: "cps", Queries: []Query{{Source: ClickHouse, Expr: `SELECT $__timeInterval(ReceivedAt) AS time, substring(toString(Profile), 1, 8) AS profile, count() AS records FROM observations FINAL WHERE $__timeFilter(ReceivedAt) GROUP BY time, profile ORDER BY time`}}},
			}},
		},
	}
}

// sensors is the example application: its calls as it sees them itself, what it
// measures, and its traces.
func sensors() Dashboard {
	const calls = `grpc_method=~"sensors.v1.SensorService/.*"`
	return Dashboard{
		UID: "driftmesh-sensors", Title: "driftmesh: sensors", Help: "The application of examples/sensors.",
		Rows: []Row{
			{"What is measured", []Panel{
				{Title: "Average of the last minute", Unit: "celsius", Width: 12, Queries: []Query{{Expr: `max by (sensor_id) (sensors_temperature_celsius{over="minute"})`, Legend: "{{sensor_id}}"}}},
				{Title: "Away from its average of all time", Help: "A sensor that loses its calibration leaves 0.", Unit: "celsius", Width: 12, Queries: []Query{{
					Expr: `max by (sensor_id) (sensors_temperature_celsius{over="minute"}) - max by (sensor_id) (sensors_temperature_celsius{over="all"})`, Legend: "{{sensor_id}}"}}},
				{Title: "Readings", Unit: "cps", Width: 12, Queries: []Query{{Expr: `sum by (sensor_id) (rate(sensors_readings_total[$__rate_interval]))`, Legend: "{{sensor_id}}"}}},
				{Title: "Open alerts of drift", Kind: Stat, Width: 12, Bad: 1, Queries: []Query{{Expr: `sum(max by (state) (driftmesh_drift_alerts_open))`}}},
			}},
			{"Calls", []Panel{
				{Title: "Calls", Unit: "reqps", Queries: []Query{{Expr: `sum by (grpc_method) (rate(grpc_server_call_duration_seconds_count{` + calls + `}[$__rate_interval]))`, Legend: "{{grpc_method}}"}}},
				{Title: "Calls that failed, by status", Unit: "reqps", Queries: []Query{{Expr: `sum by (grpc_method, grpc_status) (rate(grpc_server_call_duration_seconds_count{` + calls + `, grpc_status!="OK"}[$__rate_interval]))`, Legend: "{{grpc_method}} {{grpc_status}}", Quiet: true}}},
				{Title: "Duration", Unit: "s", Queries: quantiles("{{grpc_method}}", `sum by (le, grpc_method) (rate(grpc_server_call_duration_seconds_bucket{`+calls+`}[$__rate_interval]))`)},
				{Title: "Duration as clients see it, 95th percentile", Unit: "s", Width: 12, Queries: []Query{{Expr: `histogram_quantile(0.95, sum by (le, grpc_method) (rate(grpc_client_call_duration_seconds_bucket{` + calls + `}[$__rate_interval])))`, Legend: "{{grpc_method}}"}}},
				{Title: "Spans by service and name", Kind: Table, Width: 12, Queries: []Query{{Source: ClickHouse,
					Expr: `SELECT ServiceName, SpanName, count() AS Spans, round(quantile(0.95)(Duration) / 1e6, 2) AS P95ms, countIf(StatusCode = 'Error') AS Errors FROM otel_traces WHERE $__timeFilter(Timestamp) AND ServiceName LIKE 'sensor%' GROUP BY ServiceName, SpanName ORDER BY Spans DESC LIMIT 50`}}},
				{Title: "Traces", Kind: Table, Width: 24, Queries: []Query{{Source: Jaeger, Expr: "sensor-server"}}},
			}},
		},
	}
}
