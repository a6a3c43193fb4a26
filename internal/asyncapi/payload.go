package asyncapi

import (
	"fmt"
	"strings"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/driftmesh/driftmesh/internal/event"
	eventv1 "github.com/driftmesh/driftmesh/proto/driftmesh/event/v1"
)

// protobufFormat is AsyncAPI's name of a proto3 file.
const protobufFormat = "application/vnd.google.protobuf;version=3"

// messages are the protobuf types of values.
func messages() []protoreflect.MessageDescriptor {
	return []protoreflect.MessageDescriptor{
		(&coltracepb.ExportTraceServiceRequest{}).ProtoReflect().Descriptor(),
		(&eventv1.RecordBatch{}).ProtoReflect().Descriptor(),
		(&eventv1.WindowsTouched{}).ProtoReflect().Descriptor(),
		(&eventv1.SpansTouched{}).ProtoReflect().Descriptor(),
		(&eventv1.AlertEvent{}).ProtoReflect().Descriptor(),
		(&eventv1.Receipt{}).ProtoReflect().Descriptor(),
	}
}

// payload gives a reference to the schema of a value, which it adds.
func (d *document) payload(v event.Value) (object, error) {
	if v.Message == "" {
		d.Components.Schemas[v.Name] = otlpJSON()
		return ref("schemas", v.Name), nil
	}
	for _, m := range messages() {
		if string(m.FullName()) == v.Message {
			d.Components.Schemas[v.Name] = object{"schemaFormat": protobufFormat, "schema": protoText(m)}
			return ref("schemas", v.Name), nil
		}
	}
	return nil, fmt.Errorf("no type %s", v.Message)
}

// otlpJSON describes OTLP/JSON as far as is needed to recognize it.
func otlpJSON() object {
	list := func(of object) object { return object{"type": "array", "items": of} }
	hex := func(n int) object {
		return object{"type": "string", "pattern": fmt.Sprintf("^[0-9a-fA-F]{%d}$", n), "description": "Hex, not base64."}
	}
	number := object{"type": []string{"string", "integer"}, "description": "Unix nanoseconds; best as a string, as numbers lose digits."}
	span := object{"type": "object", "required": []string{"traceId", "spanId", "startTimeUnixNano", "endTimeUnixNano"}, "properties": object{
		"traceId": hex(32), "spanId": hex(16), "parentSpanId": object{"type": "string"}, "name": object{"type": "string"},
		"kind": object{"type": "integer"}, "startTimeUnixNano": number, "endTimeUnixNano": number,
		"attributes": list(object{"type": "object"}), "events": list(object{"type": "object"}), "links": list(object{"type": "object"}),
		"status": object{"type": "object"},
	}}
	return object{
		"type": "object", "description": "The JSON encoding of ExportTraceServiceRequest (OTLP 1.x). Fields that are not known are ignored.",
		"properties": object{"resourceSpans": list(object{"type": "object", "properties": object{
			"resource": object{"type": "object"},
			"scopeSpans": list(object{"type": "object", "properties": object{
				"scope": object{"type": "object"}, "spans": list(span),
			}}),
		}})},
	}
}

// protoText is a proto3 file with a message and all that it is made of; the
// message comes first.
func protoText(root protoreflect.MessageDescriptor) string {
	p := printer{seen: map[protoreflect.FullName]bool{}}
	p.line("syntax = \"proto3\";")
	p.line("package %s;", root.ParentFile().Package())
	p.message(root)
	return p.String()
}

// printer writes descriptors. Types of other packages are written beside those
// of the root's, under their own names, as a schema has but one file.
type printer struct {
	strings.Builder
	seen map[protoreflect.FullName]bool
}

func (p *printer) line(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

func (p *printer) message(m protoreflect.MessageDescriptor) {
	if p.seen[m.FullName()] {
		return
	}
	p.seen[m.FullName()] = true
	p.line("")
	p.line("message %s {", nameOf(m))
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		in := f.ContainingOneof()
		switch {
		case in == nil || in.IsSynthetic():
			p.field("  ", f)
		case in.Fields().Get(0) == f:
			p.line("  oneof %s {", in.Name())
			for j := range in.Fields().Len() {
				p.field("    ", in.Fields().Get(j))
			}
			p.line("  }")
		}
	}
	p.line("}")
	for i := range m.Fields().Len() {
		p.types(m.Fields().Get(i))
	}
}

// types writes what a field is made of.
func (p *printer) types(f protoreflect.FieldDescriptor) {
	if f.IsMap() {
		p.types(f.MapValue())
		return
	}
	switch {
	case f.Message() != nil:
		p.message(f.Message())
	case f.Enum() != nil && !p.seen[f.Enum().FullName()]:
		p.seen[f.Enum().FullName()] = true
		p.line("")
		p.line("enum %s {", nameOf(f.Enum()))
		for i := range f.Enum().Values().Len() {
			v := f.Enum().Values().Get(i)
			p.line("  %s = %d;", v.Name(), v.Number())
		}
		p.line("}")
	}
}

func (p *printer) field(indent string, f protoreflect.FieldDescriptor) {
	label := ""
	switch {
	case f.IsMap():
		p.line("%smap<%s, %s> %s = %d;", indent, typeOf(f.MapKey()), typeOf(f.MapValue()), f.Name(), f.Number())
		return
	case f.IsList():
		label = "repeated "
	case f.HasOptionalKeyword():
		label = "optional "
	}
	p.line("%s%s%s %s = %d;", indent, label, typeOf(f), f.Name(), f.Number())
}

func typeOf(f protoreflect.FieldDescriptor) string {
	switch {
	case f.Message() != nil:
		return nameOf(f.Message())
	case f.Enum() != nil:
		return nameOf(f.Enum())
	}
	return f.Kind().String()
}

// nameOf is a type's name within its package, in one word.
func nameOf(d protoreflect.Descriptor) string {
	name := strings.TrimPrefix(string(d.FullName()), string(d.ParentFile().Package())+".")
	return strings.ReplaceAll(name, ".", "_")
}
