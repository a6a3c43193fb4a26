package otlp

// Field numbers of the requests for metrics and logs, of which only the number
// of items is of interest.
const (
	signalResources = 1 // of a request
	signalScopes    = 2 // of a resource
	signalItems     = 2 // of a scope: metrics, or log records
	metricPoints    = 1 // of every kind of metric data
)

// CountLogs counts the log records of an ExportLogsServiceRequest, as far as it
// can be read.
func CountLogs(b []byte) int { return count(b, signalResources, signalScopes, signalItems) }

// CountMetrics counts the data points of an ExportMetricsServiceRequest, as far
// as it can be read.
func CountMetrics(b []byte) int {
	n := 0
	for _, data := range [...]uint64{5, 7, 9, 10, 11} { // gauge, sum, histogram, exponential histogram, summary
		n += count(b, signalResources, signalScopes, signalItems, data, metricPoints)
	}
	return n
}

// count counts what stands at the end of a path of fields.
func count(b []byte, path ...uint64) int {
	n := 0
	for v := range fields(b, path[0]) {
		if len(path) == 1 {
			n++
		} else {
			n += count(v.body, path[1:]...)
		}
	}
	return n
}
