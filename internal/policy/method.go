package policy

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	policyv1 "github.com/driftmesh/driftmesh/proto/driftmesh/policy/v1"
)

// Method is what a method asks of its callers.
type Method struct {
	Name       string // as gRPC has it: /service/method
	Permission Permission
	// Inner methods are called by services only, be it for somebody else.
	Inner bool
}

// foreign are the methods whose protos are not ours.
var foreign = map[string]Permission{
	"/grpc.health.v1.Health/Check": PublicCall,
	"/grpc.health.v1.Health/List":  PublicCall,
	"/grpc.health.v1.Health/Watch": PublicCall,
	// Reflection tells what the protos tell that anybody can read; a setting
	// turns it off.
	"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo":      PublicCall,
	"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": PublicCall,

	// Scouter's clients call no other; spans and tags ask for spans.write besides.
	"/scouter.grpc.v1.AuthService/Login":            PublicCall,
	"/scouter.grpc.v1.AuthService/RefreshToken":     PublicCall,
	"/scouter.grpc.v1.AuthService/ValidateToken":    PublicCall,
	"/scouter.grpc.v1.MessageService/InsertMessage": RecordsWrite,

	"/opentelemetry.proto.collector.trace.v1.TraceService/Export": SpansWrite,
	// These are taken and let go of: it must not be strangers who are told so.
	"/opentelemetry.proto.collector.metrics.v1.MetricsService/Export": SpansWrite,
	"/opentelemetry.proto.collector.logs.v1.LogsService/Export":       SpansWrite,
}

// ours begins the names of the services whose protos say what they ask for.
const ours = "driftmesh."

// methods is every method that this program knows, by name.
var methods = sync.OnceValue(func() map[string]Method {
	all := map[string]Method{}
	for name, p := range foreign {
		all[name] = Method{Name: name, Permission: p}
	}
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		if !strings.HasPrefix(string(file.Package()), ours) {
			return true
		}
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				m := methodOf(service, service.Methods().Get(j))
				all[m.Name] = m
			}
		}
		return true
	})
	return all
})

func methodOf(service protoreflect.ServiceDescriptor, method protoreflect.MethodDescriptor) Method {
	options := method.Options()
	permission, _ := proto.GetExtension(options, policyv1.E_Permission).(policyv1.Permission)
	inner, _ := proto.GetExtension(options, policyv1.E_Inner).(bool)
	return Method{
		Name:       "/" + string(service.FullName()) + "/" + string(method.Name()),
		Permission: Permission(permission), Inner: inner,
	}
}

// MethodOf is what a method asks for, by its name as gRPC has it. A method that
// is not known is allowed to nobody.
func MethodOf(name string) Method {
	if m, ok := methods()[name]; ok {
		return m
	}
	return Method{Name: name}
}

// Methods is every method of the protos that this program is made with, by name.
func Methods() []Method {
	all := methods()
	out := make([]Method, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		out = append(out, all[name])
	}
	return out
}
