package embedded

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever is sent, parse either understands it or refuses it in ClickHouse's
// words, and an insert's data can be read to its end or its error.
func FuzzParse(f *testing.F) {
	f.Add("query=SELECT+1&param_a=x&max_threads=2", "", "")
	f.Add("decompress=1&query=INSERT+INTO+t+FORMAT+Native", "", "\x00\x01")
	f.Add("", "gzip", "\x1f\x8b\x08")
	f.Add("", "zstd", "\x28\xb5\x2f\xfd\x00")
	f.Add("", "lz4", "\x04\x22\x4d\x18")
	f.Add("", "br", "\x0b\x02\x80")
	f.Add("", "deflate", "\x78\x9c")
	f.Fuzz(func(t *testing.T, query, encoding, body string) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.URL = &url.URL{Path: "/", RawQuery: query}
		r.Header.Set("Content-Encoding", encoding)
		req, err := parse(r)
		if err != nil {
			var refused *exception
			require.ErrorAs(t, err, &refused)
			return
		}
		if req.kind == inserting {
			_, _ = io.Copy(io.Discard, io.LimitReader(req.body, 1<<20))
		}
	})
}
