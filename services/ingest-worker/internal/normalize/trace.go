package normalize

import "encoding/hex"

// setTrace reads a W3C traceparent: version-traceid-spanid-flags in lower-case
// hex. A later version may add fields after a dash.
func (r *Row) setTrace(text []byte) bool {
	const size = 55
	if len(text) < size || text[2] != '-' || text[35] != '-' || text[52] != '-' {
		return false
	}
	if !lowerHex(text[:2]) || string(text[:2]) == "ff" || !lowerHex(text[53:size]) {
		return false
	}
	if len(text) > size && (string(text[:2]) == "00" || text[size] != '-') {
		return false
	}
	if !lowerHex(text[3:35]) || !lowerHex(text[36:52]) {
		return false
	}
	_, _ = hex.Decode(r.TraceID[:], text[3:35]) // hex of the right length, just checked
	_, _ = hex.Decode(r.SpanID[:], text[36:52])
	return r.TraceID != [16]byte{} && r.SpanID != [8]byte{}
}

func lowerHex(text []byte) bool {
	for _, c := range text {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
