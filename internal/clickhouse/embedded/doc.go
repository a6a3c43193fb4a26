// Package embedded runs the ClickHouse engine without a ClickHouse server: the
// engine as a shared library (libchdb), loaded by a supervised child process of
// our own binary, which serves ClickHouse's HTTP interface on loopback.
//
//	parent (driftmesh up)                     child (driftmesh engine)
//	Locate, Fetch  the library file
//	Start ──── listener as fd 3 ───────────▶  Child: load, connect, serve
//	      ──── settings, secret on stdin ──▶  … until stdin closes
//	      ◀─── "ready" on stdout ───────────
//
// The child is a process of its own because a fault in the engine must not take
// the services down, and because the engine cannot be unloaded. It never
// outlives its parent: it ends when stdin closes, and on Linux the kernel kills
// it with the parent. The parent owns the listening socket, so the address
// stays the same over restarts, and a connection made while the child restarts
// waits in the socket's queue instead of being refused.
//
// Everybody else talks to it as to any ClickHouse, by the URL alone; a password
// made anew at every start keeps other local users out.
package embedded
