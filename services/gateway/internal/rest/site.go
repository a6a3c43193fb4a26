package rest

import (
	"io"
	"net/http"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/driftmesh/driftmesh/internal/fault"
	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
	"github.com/driftmesh/driftmesh/services/gateway/internal/browser"
	"github.com/driftmesh/driftmesh/services/gateway/internal/site"
)

// asset serves a file of the user interface.
func asset(s *site.Site) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !s.Asset(w, r) {
			nothingHere(w, r)
		}
	}
}

// login begins a browser's session with a name and a password.
func login(auth authv1.AuthServiceClient) Failer {
	return jsonOnly(apiRoutes{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in authv1.LoginRequest
		body, err := io.ReadAll(r.Body)
		if err == nil && protojson.Unmarshal(body, &in) != nil {
			err = fault.Invalid.New("body: want {tenant, username, password} as JSON").WithReason("FIELD_INVALID")
		}
		if err == nil {
			err = browser.LogIn(w, r, auth, &in)
		}
		if err != nil {
			writeError(w, err)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})})
}
