// Package pki makes the certificates of a mesh: an authority of its own (CA) and
// a certificate for each service, in a directory:
//
//	ca.pem, ca.key            the authority; ca.pem is what others trust
//	<service>.pem, .key       certificate and key of a service
//
// A certificate names its service as SPIFFE does, by the URI
// spiffe://<trust domain>/<service> among its names, and the hosts that clients
// reach it at. Keys are ECDSA P-256, in files that only their owner may read.
// Every file is replaced as a whole, the key before its certificate, so that who
// reads them anew whenever they change (package tlsfiles) never takes up a half.
package pki
