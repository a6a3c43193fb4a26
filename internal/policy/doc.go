// Package policy says who may do what: what each method and each route asks
// for, and what each role is allowed.
//
//	method  ─(option in the proto)─▶ permission ◀─ role, narrowed by scopes
//	route   ─(Routes, rest.yaml)───▶
//
// It decides; it does not ask who calls (package identity), and it reads no
// data. What does not stand in its tables is allowed to nobody.
//
// Everything in it is pure and safe for concurrent use.
package policy
