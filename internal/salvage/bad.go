package salvage

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/driftmesh/driftmesh/internal/fault"
)

// Rules a message can break on the wire.
const (
	RuleMalformed = "malformed"
	RuleUTF8      = "invalid_utf8"
)

// Bad says why a message could not be decoded. The message itself is empty.
type Bad struct {
	Field   string // path from the message, such as "features.values[3].string"; "" for the whole
	Rule    string // one of the rules above
	Message string // the rule in words
}

// markField is the highest field number there is: no message defines it. A
// caller who sends it only gets its own message refused.
const markField = protowire.MaxValidNumber

func mark(m proto.Message, b Bad) {
	raw := protowire.AppendTag(nil, markField, protowire.BytesType)
	raw = protowire.AppendString(raw, b.Field+"\x00"+b.Rule+"\x00"+b.Message)
	m.ProtoReflect().SetUnknown(raw)
}

// Badness tells whether Unmarshal could not decode m, and why.
func Badness(m proto.Message) (Bad, bool) {
	raw := m.ProtoReflect().GetUnknown()
	for len(raw) > 0 {
		num, typ, n := protowire.ConsumeField(raw)
		if n < 0 {
			return Bad{}, false
		}
		if num == markField && typ == protowire.BytesType {
			_, _, tag := protowire.ConsumeTag(raw)
			text, _ := protowire.ConsumeString(raw[tag:])
			parts := strings.SplitN(text, "\x00", 3)
			for len(parts) < 3 {
				parts = append(parts, "")
			}
			return Bad{Field: parts[0], Rule: parts[1], Message: parts[2]}, true
		}
		raw = raw[n:]
	}
	return Bad{}, false
}

// diagnose looks for what is wrong with a message that could not be decoded.
func diagnose(raw []byte, desc protoreflect.MessageDescriptor) Bad {
	if field := invalidText(raw, desc, 0); field != "" {
		return Bad{Field: field, Rule: RuleUTF8, Message: "the text is not valid UTF-8"}
	}
	return Bad{Rule: RuleMalformed, Message: "the message is truncated or malformed"}
}

// maxDepth is more than any message of ours nests.
const maxDepth = 32

// invalidText is the path of the first text that is not UTF-8, or "".
func invalidText(raw []byte, desc protoreflect.MessageDescriptor, depth int) string {
	seen := map[protowire.Number]int{}
	for len(raw) > 0 {
		num, typ, n := protowire.ConsumeTag(raw)
		if n < 0 {
			return ""
		}
		size := protowire.ConsumeFieldValue(num, typ, raw[n:])
		if size < 0 {
			return ""
		}
		fd := desc.Fields().ByNumber(num)
		if fd != nil && typ == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(raw[n:])
			if path := badField(fd, value, depth); path != "" {
				return indexed(fd, seen[num]) + strings.TrimPrefix(path, string(fd.Name()))
			}
			seen[num]++
		}
		raw = raw[n+size:]
	}
	return ""
}

func badField(fd protoreflect.FieldDescriptor, value []byte, depth int) string {
	name := string(fd.Name())
	switch {
	case fd.Kind() == protoreflect.StringKind && !utf8.Valid(value):
		return name
	case fd.Kind() == protoreflect.MessageKind && depth < maxDepth:
		if inner := invalidText(value, fd.Message(), depth+1); inner != "" {
			return name + "." + inner
		}
	}
	return ""
}

func indexed(fd protoreflect.FieldDescriptor, i int) string {
	if fd.IsList() {
		return fmt.Sprintf("%s[%d]", fd.Name(), i)
	}
	return string(fd.Name())
}

// Check tells whether raw is a message of type t, as fault.Invalid.
func Check(raw []byte, t protoreflect.MessageType) error {
	if proto.Unmarshal(raw, t.New().Interface()) == nil {
		return nil
	}
	return diagnose(raw, t.Descriptor()).Fault()
}

// Fault is the refusal of the whole message, as fault.Invalid.
func (bad Bad) Fault() error {
	if bad.Field != "" {
		return fault.Invalid.New("%s: %s", bad.Field, bad.Message).WithReason(strings.ToUpper(bad.Rule))
	}
	return fault.Invalid.New("%s", bad.Message).WithReason(strings.ToUpper(bad.Rule))
}
