package normalize

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// list reads the repeated field values, each with read.
func (b *Batch) list(raw []byte, read func([]byte) (value, Reason)) Reason {
	for len(raw) > 0 {
		num, typ, v, rest, ok := field(raw)
		if !ok {
			return Malformed
		}
		raw = rest
		if num != listValues || typ != protowire.BytesType {
			continue
		}
		one, reason := read(v)
		if reason != "" {
			return reason
		}
		b.values = append(b.values, one)
	}
	return ""
}

func (b *Batch) feature(raw []byte) (out value, reason Reason) {
	for len(raw) > 0 {
		num, typ, v, rest, ok := field(raw)
		if !ok {
			return out, Malformed
		}
		raw = rest
		switch {
		case num == entryName && typ == protowire.BytesType:
			out.name = v
			reason = checkText(v)
		case num == featureInt && typ == protowire.VarintType:
			n, _ := protowire.ConsumeVarint(v)
			out.form, out.bits = formInt, uint64(protowire.DecodeZigZag(n))
		case num == featureFloat && typ == protowire.Fixed64Type:
			n, _ := protowire.ConsumeFixed64(v)
			out.form, out.bits = formFloat, n
		case num == featureString && typ == protowire.BytesType:
			out.form, out.text = formString, v
			reason = checkText(v)
		case num == featureBool && typ == protowire.VarintType:
			n, _ := protowire.ConsumeVarint(v)
			out.form, out.bits = formBool, min(n, 1)
		case num == featureMissing && typ == protowire.BytesType:
			out.form = formMissing
			if !wellFormed(v) {
				return out, Malformed
			}
		}
		if reason != "" {
			return out, reason
		}
	}
	return out, ""
}

// counted reads how many values fell into a bin. A part that comes again replaces
// what came before.
func (b *Batch) counted(r *record, raw []byte) Reason {
	var out value
	if len(b.values) > r.from { // the body comes twice and is merged
		out = b.values[r.from]
	} else {
		r.bin = 0
	}
	for len(raw) > 0 {
		num, typ, v, rest, ok := field(raw)
		if !ok {
			return Malformed
		}
		raw = rest
		switch {
		case num == countedFeature && typ == protowire.BytesType:
			out.name = v
			if reason := checkText(v); reason != "" {
				return reason
			}
		case num == countedBin && typ == protowire.VarintType:
			n, _ := protowire.ConsumeVarint(v)
			r.bin = protowire.DecodeZigZag(n)
		case num == countedCount && typ == protowire.VarintType:
			out.bits, _ = protowire.ConsumeVarint(v)
		}
	}
	b.values = append(b.values[:r.from], out)
	return ""
}

func (b *Batch) metric(raw []byte) (out value, reason Reason) {
	out = value{form: formFloat, bits: math.Float64bits(0)}
	for len(raw) > 0 {
		num, typ, v, rest, ok := field(raw)
		if !ok {
			return out, Malformed
		}
		raw = rest
		switch {
		case num == entryName && typ == protowire.BytesType:
			out.name = v
			if reason = checkText(v); reason != "" {
				return out, reason
			}
		case num == metricValue && typ == protowire.Fixed64Type:
			out.bits, _ = protowire.ConsumeFixed64(v)
		}
	}
	return out, ""
}
