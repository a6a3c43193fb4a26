package jaeger

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/driftmesh/driftmesh/internal/fault"
)

// parametersV3 are those of a search of api_v3: of the URL or, of a search that
// is posted, of the body, which is {"query":{…}} in protobuf's JSON.
func parametersV3(r *http.Request) (url.Values, error) {
	if r.Method != http.MethodPost {
		return r.URL.Query(), nil
	}
	dec := json.NewDecoder(r.Body) // bounded by whoever mounts us
	dec.DisallowUnknownFields()
	var body struct {
		Query map[string]json.RawMessage `json:"query"`
	}
	if err := dec.Decode(&body); err != nil {
		return nil, fault.Invalid.Wrap(err, `the body must be {"query":{…}} in JSON`).WithReason("BAD_BODY")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fault.Invalid.New("something follows the JSON of the body").WithReason("BAD_BODY")
	}
	v := url.Values{}
	for field, raw := range body.Query {
		if bytes.Equal(raw, []byte("null")) {
			continue
		}
		name := lowerCamel(field)
		read, ok := searchFields[name]
		if !ok {
			return nil, fault.Invalid.New("query has no field %q", clip(field)).WithReason("BAD_PARAMETER")
		}
		text, ok := read(raw)
		if !ok {
			return nil, badParam("query."+field, "has a value of another type")
		}
		if v.Has("query." + name) {
			return nil, badParam("query."+field, "is given twice")
		}
		v.Set("query."+name, text)
	}
	if v.Get("query.searchDepth") == "0" { // as if absent, in protobuf
		v.Del("query.searchDepth")
	}
	return v, nil
}

// searchFields are those of Jaeger's TraceQueryParameters, with what makes of
// their JSON what a URL has.
var searchFields = map[string]func(json.RawMessage) (string, bool){
	"serviceName": jsonText, "operationName": jsonText, "attributes": jsonObject, "filter": jsonObject,
	"startTimeMin": jsonText, "startTimeMax": jsonText, "durationMin": jsonText, "durationMax": jsonText,
	"searchDepth": jsonNumber, "rawTraces": jsonBool,
}

// lowerCamel is a name of protobuf as its JSON has it. Both are accepted.
func lowerCamel(name string) string {
	parts := strings.Split(name, "_")
	for i, part := range parts[1:] {
		if part != "" {
			parts[i+1] = strings.ToUpper(part[:1]) + part[1:]
		}
	}
	return strings.Join(parts, "")
}

func jsonText(raw json.RawMessage) (string, bool) {
	var s string
	err := json.Unmarshal(raw, &s)
	return s, err == nil
}

// jsonNumber takes a text too, as protobuf does.
func jsonNumber(raw json.RawMessage) (string, bool) {
	var n json.Number
	err := json.Unmarshal(raw, &n)
	return n.String(), err == nil
}

func jsonBool(raw json.RawMessage) (string, bool) {
	var b bool
	return string(raw), json.Unmarshal(raw, &b) == nil
}

func jsonObject(raw json.RawMessage) (string, bool) { return string(raw), raw[0] == '{' }
