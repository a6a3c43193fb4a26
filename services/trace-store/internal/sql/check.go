package sql

import (
	"slices"
	"strings"

	"github.com/driftmesh/driftmesh/internal/clickhouse/sqltext"
	"github.com/driftmesh/driftmesh/internal/fault"
)

// generators are the table functions that make rows out of their arguments.
var generators = []string{"numbers", "numbers_mt", "zeros", "zeros_mt", "generate_series", "generateseries", "values", "format"}

// outward are functions that tell of, or reach for, something else than their
// arguments; a name that ends with * stands for all that begin so.
var outward = []string{
	"file", "filesystem*", "dict*", "joinget*", "getsetting*", "getserver*", "getmacro", "getclient*", "getos*", "getmax*",
	"hostname", "fqdn", "fullhostname", "sleep*", "tcpport", "serveruuid", "displayname", "buildid", "uptime", "revision",
	"user", "currentuser", "current_user", "session_user", "system_user", "currentroles", "enabledroles", "defaultroles",
	"currentprofiles", "enabledprofiles", "defaultprofiles", "currentquery*", "initialquery*", "queryid", "query_id", "connectionid",
	"connection_id", "showcertificate", "zookeeper*", "shardnum", "shardcount", "addressto*", "demangle", "trap", "logtrace",
	"catboost*", "evalml*", "ai*", "llm*", "hascolumnintable", "ismergetree*", "mergetreepart*", "transaction*", "generateserialid",
	"runningconcurrency", "nodeid", "remote*", "url*table*", "s3*", "hdfs*", "azure*", "python*", "executable*", "reload*", "icebergtable*",
	"structureto*", "lemmatize", "synonyms", "stem", "fuzzquery", "getsubcolumn*internal*", "authenticateduser", "authenticated_user",
}

// typeNames may stand before a parenthesis in CAST(x AS Type(…)).
var typeNames = []string{
	"array", "map", "tuple", "nullable", "lowcardinality", "fixedstring", "decimal", "decimal32", "decimal64", "decimal128",
	"datetime", "datetime64", "enum8", "enum16", "columns", "exists",
}

// functions are the names that the store knows, in lower case.
type functions struct{ plain, table map[string]bool }

// allowed reports whether a function may be called.
func (f *functions) allowed(name string) bool {
	name = strings.ToLower(name)
	if slices.Contains(generators, name) || slices.Contains(typeNames, name) {
		return true
	}
	if f.table[name] || !f.plain[name] {
		return false
	}
	return !slices.ContainsFunc(outward, func(pattern string) bool { return matches(pattern, name) })
}

// matches reports whether the parts of the pattern between its stars stand in
// the name in that order, from its beginning.
func matches(pattern, name string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == name
	}
	rest, ok := strings.CutPrefix(name, parts[0])
	for _, p := range parts[1:] {
		i := strings.Index(rest, p)
		if i < 0 {
			return false
		}
		rest = rest[i+len(p):]
	}
	return ok
}

// forbidden are keywords, as ClickHouse writes them, of what is no part of a
// plain SELECT.
var forbidden = map[string]string{
	"SETTINGS": "settings cannot be chosen", "OUTFILE": "there is no file to write to", "INFILE": "there is no file to read",
	"EXPLAIN": "EXPLAIN is not offered", "APPLY": "APPLY is not offered", "FORMAT": "the format is chosen beside the statement",
	"DESCRIBE": "DESCRIBE is not offered", "SHOW": "SHOW is not offered",
}

// hidden are databases that everybody may read as far as ClickHouse goes.
var hidden = []string{"system", "information_schema"}

// check refuses what is no plain SELECT. statement is as ClickHouse's
// formatQuerySingleLine wrote it: one statement, no comments, each call as
// name(…), keywords in capitals. The error is fault.Invalid.
func check(statement string, known *functions) error {
	if hasComment(statement) {
		return fault.Invalid.New("the statement is not understood")
	}
	first := true
	var last sqltext.Word
	for w := range sqltext.Words(statement) {
		if first && !w.Is("SELECT") && !w.Is("WITH") && w.Text != "(" {
			return fault.Invalid.New("only SELECT is offered, not %s", clip(w.Text))
		}
		first = false
		switch name := unquoted(w.Text); {
		case w.Text == ";":
			return fault.Invalid.New("one statement at a time")
		case w.Text == "(":
			if called := unquoted(last.Text); last.End == w.Start && called != "" && called != "(" && !known.allowed(called) {
				return fault.Invalid.New("the function %s is not offered", clip(called))
			}
		case forbidden[strings.ToUpper(w.Text)] != "" && w.Text != "format": // there is a function of that name
			return fault.Invalid.New("%s", forbidden[strings.ToUpper(w.Text)])
		case slices.Contains(hidden, strings.ToLower(name)) && w.End < len(statement) && statement[w.End] == '.':
			return fault.Invalid.New("the database %s is not offered", clip(name))
		}
		last = w
	}
	if first {
		return fault.Invalid.New("the statement is empty")
	}
	return nil
}

// hasComment reports whether there is something outside of quotes that looks
// like a comment. ClickHouse writes none; one that package sqltext saw would
// hide from the check what ClickHouse reads.
func hasComment(statement string) bool {
	var quote byte
	for i := 0; i < len(statement); i++ {
		switch c := statement[i]; {
		case quote != 0 && c == '\\':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '`' || c == '"':
			quote = c
		case c == '#', strings.HasPrefix(statement[i:], "--"), strings.HasPrefix(statement[i:], "/*"):
			return true
		}
	}
	return quote != 0
}

// unquoted is the name of an identifier that may be quoted.
func unquoted(text string) string {
	if len(text) >= 2 && (text[0] == '`' || text[0] == '"') {
		return strings.NewReplacer("\\`", "`", `\"`, `"`, `\\`, `\`).Replace(text[1 : len(text)-1])
	}
	return text
}

// clip bounds what of a statement is repeated to the caller.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
