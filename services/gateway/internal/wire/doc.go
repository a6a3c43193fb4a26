// Package wire is how the gateway's public gRPC server reads and writes
// messages.
//
// Methods that are only passed on to a service behind the gateway travel as a
// Frame: bytes that nobody decodes on the way.
//
// Messages that the gateway reads itself are decoded as ever; but where gRPC
// would refuse a whole request with INTERNAL because one text in it is not
// UTF-8, the Codec keeps the request, puts a mark on what is bad, and lets the
// handler refuse just that, with the field's path and the rule. A request that
// cannot be read at all carries the mark itself, and the interceptors of this
// package refuse it with INVALID_ARGUMENT.
package wire
