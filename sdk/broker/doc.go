// Package broker is the home of transports of the SDK that hand spans and records
// to the mesh's message broker, past its gateway. Each is a package of its own, so
// that a program links the client of the one it names, and a module of its own, so
// that a program that calls the gateway has none of them in its build list:
//
//	import (
//		"github.com/driftmesh/driftmesh/sdk"
//		_ "github.com/driftmesh/driftmesh/sdk/broker/nats" // or kafka, rabbitmq, redis
//	)
//
//	client, err := sdk.New("nats://producer:PASSWORD@127.0.0.1:4222", sdk.WithAPIKey(key))
//
// A batch is one message on the topic inbox, as docs/asyncapi.yaml describes it. Send
// returns when the broker has made it durable; who sent it, and what is in it, the
// mesh looks at when it reads the message. What it refuses then stands in its ledger
// and in the dead letters of the inbox, not in the answer.
//
// A URL may name user and password, several hosts separated by commas, and these
// parameters behind ?, besides those that each package lists:
//
//   - ca, cert, key: PEM files to speak TLS with; the own certificate is read anew
//     for every connection
//   - password-file: a file with the password, instead of one in the URL
//   - prefix: how names on the broker begin, as the mesh's own URL says it; driftmesh
//   - publish-timeout: after which a batch without an answer is sent again; 10s
//
// Special characters in users, passwords and parameters are percent-encoded.
package broker
