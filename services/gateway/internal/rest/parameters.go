package rest

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/policy"
)

// A parameter that a route does not take is a mistake worth naming, as an unknown field
// of a body is: grpc-gateway would answer as if nothing had been asked.

// question is what a route may be asked with behind its path.
type question struct {
	// fields are those of the message that the parameters fill; nil where there is none,
	// and a parameter is known by its name alone.
	fields protoreflect.FieldDescriptors
	takes  []string // names of those that neither the path nor the body has
}

// ask lets through to next what asks with nothing else.
func (q question) ask(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := q.check(r.URL.Query()); err != nil {
			writeError(w, err)
			return
		}
		next(w, r)
	}
}

// questionOf is that of a route that stands for a method.
func questionOf(r policy.Route) (question, error) {
	name := protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(r.RPC, "/"), "/", "."))
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
	if err != nil {
		return question{}, fmt.Errorf("the method of %s: %w", r.Pattern(), err)
	}
	method, ok := d.(protoreflect.MethodDescriptor)
	if !ok {
		return question{}, fmt.Errorf("%s of %s is no method", name, r.Pattern())
	}
	if r.Body == "*" {
		return question{}, nil
	}
	q := allFields(method.Input().Fields())
	q.takes = slices.DeleteFunc(q.takes, func(f string) bool {
		return f == r.Body || strings.Contains(r.Path, "{"+f+"}") || strings.Contains(r.Path, "{"+f+"=")
	})
	return q, nil
}

// allOf may ask with every field of a message.
func allOf(m proto.Message) question { return allFields(m.ProtoReflect().Descriptor().Fields()) }

func allFields(fields protoreflect.FieldDescriptors) question {
	q := question{fields: fields}
	for i := range fields.Len() {
		q.takes = append(q.takes, string(fields.Get(i).Name()))
	}
	return q
}

// check names the first parameter that there is not.
func (q question) check(sent url.Values) error {
	for _, name := range slices.Sorted(maps.Keys(sent)) {
		if !q.knows(name) {
			return noParameter(name, q.takes)
		}
	}
	return nil
}

func (q question) knows(name string) bool {
	if q.fields == nil {
		return slices.Contains(q.takes, name)
	}
	name, _, _ = strings.Cut(name, "[") // labels[key]
	path := strings.Split(name, ".")
	top := field(q.fields, path[0])
	return top != nil && slices.Contains(q.takes, string(top.Name())) && leads(top, path[1:])
}

// leads tells whether a path leads from a field to another, or to itself.
func leads(f protoreflect.FieldDescriptor, path []string) bool {
	if len(path) == 0 {
		return true
	}
	if f.Message() == nil || f.IsMap() || f.IsList() {
		return false
	}
	next := field(f.Message().Fields(), path[0])
	return next != nil && leads(next, path[1:])
}

func field(of protoreflect.FieldDescriptors, name string) protoreflect.FieldDescriptor {
	if f := of.ByTextName(name); f != nil {
		return f
	}
	return of.ByJSONName(name)
}

func noParameter(name string, takes []string) error {
	if len(name) > 64 {
		name = name[:64]
	}
	all := "none"
	if len(takes) > 0 {
		all = strings.Join(takes, ", ")
	}
	return fault.Invalid.New("there is no parameter %q: the route takes %s", name, all).WithReason("UNKNOWN_PARAMETER")
}

// taking is a route that stands for no method, with all the parameters that it takes.
func taking(next http.HandlerFunc, takes ...string) apiRoutes {
	return apiRoutes{question{takes: takes}.ask(next)}
}
