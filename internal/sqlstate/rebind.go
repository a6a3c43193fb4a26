package sqlstate

import (
	"strconv"
	"strings"
)

// rebind turns the "?" of a query into what the database wants. A "?" inside
// quotes or comments is left alone.
func (d dialect) rebind(query string) string {
	if d != onPostgres || !strings.Contains(query, "?") {
		return query
	}
	var out strings.Builder
	out.Grow(len(query) + 16)
	for n := 0; query != ""; {
		skip := opaque(query)
		if skip > 0 {
			out.WriteString(query[:skip])
			query = query[skip:]
			continue
		}
		if query[0] == '?' {
			n++
			out.WriteString("$" + strconv.Itoa(n))
		} else {
			out.WriteByte(query[0])
		}
		query = query[1:]
	}
	return out.String()
}

// opaque is the length of the quoted text or comment that s begins with, or 0.
func opaque(s string) int {
	for _, form := range []struct{ open, close string }{
		{"'", "'"}, {`"`, `"`}, {"--", "\n"}, {"/*", "*/"},
	} {
		if !strings.HasPrefix(s, form.open) {
			continue
		}
		// A doubled quote ends one text and begins the next at once, which
		// comes to the same.
		if end := strings.Index(s[len(form.open):], form.close); end >= 0 {
			return len(form.open) + end + len(form.close)
		}
		return len(s)
	}
	return 0
}
