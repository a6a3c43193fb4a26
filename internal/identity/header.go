package identity

import (
	"context"
	"strings"

	"google.golang.org/grpc/metadata"
)

// Headers (gRPC metadata keys) that carry credentials.
const (
	headerAuthorization = "authorization"
	headerAPIKey        = "x-api-key"
	bearer              = "Bearer "
)

// HeaderSource carries the address of whoever logs in from the gateway to auth.
// Only what a service sends there is believed.
const HeaderSource = "x-driftmesh-source"

// FromMetadata reads the credentials of an incoming gRPC call, "" for those
// not sent. It gives fault.Unauthenticated when one was sent twice: it would
// be a guess which one a proxy in between has looked at.
func FromMetadata(ctx context.Context) (authorization, apiKey string, err error) {
	md, ok := metadata.FromIncomingContext(ctx)
	if !ok {
		return "", "", nil
	}
	if authorization, err = single(md, headerAuthorization); err != nil {
		return "", "", err
	}
	if apiKey, err = single(md, headerAPIKey); err != nil {
		return "", "", err
	}
	return authorization, apiKey, nil
}

func single(md metadata.MD, key string) (string, error) {
	values := md.Get(key)
	if len(values) > 1 {
		return "", refuse(ReasonAmbiguous, "%s was sent %d times", key, len(values))
	}
	if len(values) == 0 {
		return "", nil
	}
	return values[0], nil
}

// bearerToken takes the token out of "Bearer <token>". Schemes are compared
// without regard to case (RFC 9110, section 11.1).
func bearerToken(authorization string) (string, error) {
	if authorization == "" {
		return "", errMissing()
	}
	scheme, token, _ := strings.Cut(authorization, " ")
	token = strings.TrimLeft(token, " ")
	switch {
	case strings.EqualFold(scheme, "basic"):
		return "", refuse(ReasonScheme,
			"basic authentication is not supported: log in and send the token, or send an API key")
	case !strings.EqualFold(scheme, "bearer"):
		return "", refuse(ReasonScheme, `this authorization scheme is not supported: send "Bearer <token>"`)
	case token == "":
		return "", refuse(ReasonMalformed, "the token is empty")
	}
	return token, nil
}
