// Package asyncapi makes the AsyncAPI 3.0 document of the mesh's topics, for
// those who publish or read past the gateway. It is made from package event's
// catalogue, from which the topics are provisioned too, and from the protobuf
// types that the services decode: so it cannot say anything else than the code.
//
// What AsyncAPI has no words for stands in fields that begin with
// x-driftmesh-.
package asyncapi
