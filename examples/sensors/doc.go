// Command sensors is an application that driftmesh watches: a server for the
// readings of sensors, four clients of it, one for each kind of gRPC call, and
// "sensors show", which runs a mesh, the server and the clients on this machine,
// lets one sensor lose its calibration, and waits until the mesh says so.
//
// It is written to be copied: gRPC, the SDK of driftmesh, and OpenTelemetry's
// metrics, nothing else. README.md walks through it.
package main
