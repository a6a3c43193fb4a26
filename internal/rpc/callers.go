package rpc

import (
	"slices"
	"strings"

	auditv1 "github.com/driftmesh/driftmesh/proto/driftmesh/audit/v1"
	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
	deadletterv1 "github.com/driftmesh/driftmesh/proto/driftmesh/deadletter/v1"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
	recordv1 "github.com/driftmesh/driftmesh/proto/driftmesh/record/v1"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
)

// gateway passes on what comes from outside.
const gateway = "gateway"

// callers says which services call what of one another, by method, or by service
// for all others of it. What does not stand here nobody may call.
var callers = map[string][]string{
	authv1.AuthService_ListKeys_FullMethodName:         {gateway, "ingest-worker"},
	authv1.AuthService_CheckAPIKey_FullMethodName:      {gateway, "ingest-worker"},
	authv1.AuthService_WatchRevocations_FullMethodName: {gateway, "ingest-worker"},
	authv1.AuthService_WatchLimits_FullMethodName:      {gateway, "ingest-worker", "trace-store", "drift"},
	authv1.AuthService_ServiceDesc.ServiceName:         {gateway},

	auditv1.AuditService_ServiceDesc.ServiceName: {gateway},

	driftv1.DriftService_GetProfile_FullMethodName: {gateway, "ingest-worker"},
	driftv1.DriftService_ServiceDesc.ServiceName:   {gateway},
	driftv1.TagService_ServiceDesc.ServiceName:     {gateway},

	tracev1.TraceService_GetTrace_FullMethodName:           {gateway, "drift"},
	tracev1.TraceService_LinkTraces_FullMethodName:         {gateway, "drift"},
	tracev1.TraceService_ServiceDesc.ServiceName:           {gateway},
	ledgerv1.LedgerService_ServiceDesc.ServiceName:         {gateway},
	deadletterv1.DeadLetterService_ServiceDesc.ServiceName: {gateway},
	recordv1.RecordService_ServiceDesc.ServiceName:         {gateway},
}

// MayCall reports whether a service may call a method (/service/method) of
// another.
func MayCall(service, method string) bool {
	allowed, ok := callers[method]
	if !ok {
		of, _, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
		allowed = callers[of]
	}
	return slices.Contains(allowed, service)
}
