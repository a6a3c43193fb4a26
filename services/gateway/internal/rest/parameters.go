package rest

import (
	"fmt"
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

// question is what a JSON route may be asked with behind its path.
type question struct {
	fields protoreflect.FieldDescriptors // nil is none
	takes  []string                      // names of those that neither the path nor the body has
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
	for _, name := range sorted(sent) {
		path, _, _ := strings.Cut(name, "[") // labels[key]
		if !q.knows(strings.Split(path, ".")) {
			return noParameter(name, q.takes)
		}
	}
	return nil
}

func (q question) knows(path []string) bool {
	if q.fields == nil {
		return false
	}
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

func sorted(values url.Values) []string {
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// taking is a route that stands for no method, with all the parameters that it takes.
func taking(next http.HandlerFunc, takes ...string) apiRoutes {
	return apiRoutes{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, name := range sorted(r.URL.Query()) {
			if !slices.Contains(takes, name) {
				writeError(w, noParameter(name, takes))
				return
			}
		}
		next(w, r)
	})}
}
