package embedded

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/ClickHouse/ch-go/compress"

	"github.com/driftmesh/driftmesh/internal/clickhouse/embedded/chdb"
)

// summary is ClickHouse's header of what a statement did.
func summary(w http.ResponseWriter, stats chdb.Stats) {
	n := func(v uint64) string { return strconv.FormatUint(v, 10) }
	text, err := json.Marshal(map[string]string{
		"read_rows": n(stats.ReadRows), "read_bytes": n(stats.ReadBytes),
		"written_rows": n(stats.WrittenRows), "written_bytes": n(stats.WrittenBytes),
		"result_rows": n(stats.ResultRows),
	})
	if err == nil {
		w.Header().Set("X-ClickHouse-Summary", string(text))
	}
}

// output writes a result, in ClickHouse's compressed frames if the client asked
// for them.
type output struct {
	w      http.ResponseWriter
	format string
	framed bool
	tag    string

	begun bool
	err   error // of the connection to the client
	frame *compress.Writer
}

func (o *output) write(data []byte) error {
	if !o.begun {
		o.begun = true
		o.w.Header().Set("X-ClickHouse-Format", o.format)
		o.w.Header().Set("Content-Type", contentType(o.format))
		if o.tag != "" {
			o.w.Header().Set("X-ClickHouse-Exception-Tag", o.tag)
		}
		if o.framed {
			o.frame = compress.NewWriter(compress.LevelZero, compress.LZ4)
		}
	}
	if o.frame != nil {
		if err := o.frame.Compress(data); err != nil {
			return fmt.Errorf("compress result: %w", err)
		}
		data = o.frame.Data
	}
	_, o.err = o.w.Write(data)
	return o.err
}

// end completes an empty result, which has no body.
func (o *output) end() {
	if !o.begun {
		o.w.Header().Set("X-ClickHouse-Format", o.format)
		o.w.Header().Set("Content-Length", "0")
	}
}

// fail tells of an error in the middle of a result, in the framing that
// ClickHouse's clients look for at its end.
func (o *output) fail(e *exception) {
	text := strings.TrimSpace(e.text) + "\n"
	block := fmt.Sprintf("\r\n__exception__\r\n%s\r\n%s%d %s\r\n__exception__\r\n", o.tag, text, len(text), o.tag)
	_, _ = io.WriteString(o.w, block)
}

func contentType(format string) string {
	switch lower := strings.ToLower(format); {
	case lower == "json", lower == "jsoncompact", lower == "jsonstrings":
		return "application/json; charset=UTF-8"
	case strings.HasPrefix(lower, "json"), lower == "ndjson":
		return "application/x-ndjson; charset=UTF-8"
	case strings.HasPrefix(lower, "csv"):
		return "text/csv; charset=UTF-8; header=absent"
	case strings.HasPrefix(lower, "tabseparated"), strings.HasPrefix(lower, "tsv"):
		return "text/tab-separated-values; charset=UTF-8"
	case lower == "native", lower == "rowbinary", lower == "parquet", lower == "arrow":
		return "application/octet-stream"
	}
	return "text/plain; charset=UTF-8"
}
