package clickhouse

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/tlsfiles"
)

func TestParseURL(t *testing.T) {
	for _, row := range []struct {
		url  string
		want target
	}{
		{"http://localhost", target{scheme: "http", hosts: []string{"localhost:8123"}, user: "default", database: "driftmesh", loopback: true}},
		{"http://u:p%40w@127.0.0.1:1234/db", target{scheme: "http", hosts: []string{"127.0.0.1:1234"}, user: "u", password: "p@w", database: "db", loopback: true}},
		{"https://a.example,b.example:9000/db/", target{scheme: "https", hosts: []string{"a.example:8443", "b.example:9000"}, user: "default", database: "db"}},
		{"http://[::1]:8123,10.0.0.1:8123/", target{scheme: "http", hosts: []string{"[::1]:8123", "10.0.0.1:8123"}, user: "default", database: "driftmesh"}},
		{"clickhouse://u:p@h:9000/db", target{scheme: "http", hosts: []string{"h:8123"}, user: "u", password: "p", database: "db"}},
		{"clickhouse://h:9440,i/db?secure=true", target{scheme: "https", hosts: []string{"h:8443", "i:8443"}, user: "default", database: "db"}},
		{"clickhouse://h:8124/db", target{scheme: "http", hosts: []string{"h:8124"}, user: "default", database: "db"}},
	} {
		t.Run(row.url, func(t *testing.T) {
			got, err := Config{URL: row.url}.parse()
			require.NoError(t, err)
			require.Empty(t, got.settings)
			got.settings = nil
			require.Equal(t, row.want, got)
		})
	}
	files, err := Config{URL: "https://h/db?ca=/ca.pem&cert=/me.pem&key=/me.key"}.parse()
	require.NoError(t, err)
	require.Equal(t, tlsfiles.Client{CA: "/ca.pem", Cert: "/me.pem", Key: "/me.key"}, files.files)
	require.Empty(t, files.settings, "no settings of ClickHouse")
	got, err := Config{URL: "http://h/db?max_threads=3"}.parse()
	require.NoError(t, err)
	require.Equal(t, "3", got.settings.Get("max_threads"))
}

func TestParseURLRefuses(t *testing.T) {
	for _, url := range []string{"", "localhost:8123", "ftp://h/db", "http://", "http:///db", "http://h,,i/db", "http://u:secret@h:x/db", "http://h/db?ca=/ca.pem"} {
		t.Run(url, func(t *testing.T) {
			_, err := Config{URL: url}.parse()
			require.ErrorIs(t, err, fault.Invalid)
			require.NotContains(t, err.Error(), "secret")
		})
	}
}

func TestWithDatabase(t *testing.T) {
	for url, want := range map[string]string{
		"http://u:p@h:1,i:2/db?a=b": "http://u:p@h:1,i:2/new%20db?a=b",
		"http://h":                  "http://h/new%20db",
		"http://h?a=b":              "http://h/new%20db?a=b",
	} {
		require.Equal(t, want, Config{URL: url}.WithDatabase("new db").URL)
	}
}

func FuzzParseURL(f *testing.F) {
	for _, seed := range []string{"http://u:p@h:1,i:2/db?a=b", "clickhouse://[::1]:9000", "://", "http://@,"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, url string) {
		got, err := Config{URL: url}.parse()
		if err == nil {
			require.NotEmpty(t, got.hosts)
			require.Contains(t, []string{"http", "https"}, got.scheme)
		}
	})
}

func FuzzParseError(f *testing.F) {
	f.Add("Code: 60. DB::Exception: Table default.t does not exist. (UNKNOWN_TABLE) (version 26.7.2.1)")
	f.Add("Code: 99999999999999999999. ()")
	f.Fuzz(func(t *testing.T, text string) {
		if e := parseError(text, 500); e != nil {
			require.NotEmpty(t, e.Error())
			require.Error(t, Classify(e))
		}
	})
}
