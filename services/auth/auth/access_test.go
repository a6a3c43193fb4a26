package auth_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/sqlstate/sqltest"
	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
)

func requireCode(t *testing.T, err error, reason string) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, reason, fault.Of(err).Reason(), "%v", err)
}

// calls is every method that needs a token, with a request that would work.
func calls(client authv1.AuthServiceClient) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"CheckAPIKey": func(ctx context.Context) error {
			_, err := client.CheckAPIKey(ctx, &authv1.CheckAPIKeyRequest{Key: identity.FormatAPIKey("a", make([]byte, 32))})
			return err
		},
		"CreateTenant": func(ctx context.Context) error {
			_, err := client.CreateTenant(ctx, &authv1.CreateTenantRequest{Name: "new"})
			return err
		},
		"ListTenants": func(ctx context.Context) error {
			_, err := client.ListTenants(ctx, &authv1.ListTenantsRequest{})
			return err
		},
		"CreateUser": func(ctx context.Context) error {
			_, err := client.CreateUser(ctx, &authv1.CreateUserRequest{Username: "new", Password: "a new password"})
			return err
		},
		"ListUsers": func(ctx context.Context) error {
			_, err := client.ListUsers(ctx, &authv1.ListUsersRequest{})
			return err
		},
		"CreateAPIKey": func(ctx context.Context) error {
			_, err := client.CreateAPIKey(ctx, &authv1.CreateAPIKeyRequest{Name: "new"})
			return err
		},
		"ListAPIKeys": func(ctx context.Context) error {
			_, err := client.ListAPIKeys(ctx, &authv1.ListAPIKeysRequest{})
			return err
		},
		"RevokeAPIKey": func(ctx context.Context) error {
			_, err := client.RevokeAPIKey(ctx, &authv1.RevokeAPIKeyRequest{Id: "nope"})
			return err
		},
		"RotateAPIKey": func(ctx context.Context) error {
			_, err := client.RotateAPIKey(ctx, &authv1.RotateAPIKeyRequest{Id: "nope"})
			return err
		},
		"ResetPassword": func(ctx context.Context) error {
			_, err := client.ResetPassword(ctx, &authv1.ResetPasswordRequest{Username: "nobody"})
			return err
		},
		"SetUserDisabled": func(ctx context.Context) error {
			_, err := client.SetUserDisabled(ctx, &authv1.SetUserDisabledRequest{Username: "nobody", Disabled: true})
			return err
		},
		"SetUserRole": func(ctx context.Context) error {
			_, err := client.SetUserRole(ctx, &authv1.SetUserRoleRequest{Username: "nobody", Role: "viewer"})
			return err
		},
		"DeleteUser": func(ctx context.Context) error {
			_, err := client.DeleteUser(ctx, &authv1.DeleteUserRequest{Username: "nobody"})
			return err
		},
		"SetTenantDisabled": func(ctx context.Context) error {
			_, err := client.SetTenantDisabled(ctx, &authv1.SetTenantDisabledRequest{Name: "nowhere", Disabled: true})
			return err
		},
		"DeleteTenant": func(ctx context.Context) error {
			_, err := client.DeleteTenant(ctx, &authv1.DeleteTenantRequest{Name: "nowhere"})
			return err
		},
		"RotateSigningKeys": func(ctx context.Context) error {
			_, err := client.RotateSigningKeys(ctx, &authv1.RotateSigningKeysRequest{})
			return err
		},
		"GetLimits": func(ctx context.Context) error {
			_, err := client.GetLimits(ctx, &authv1.GetLimitsRequest{})
			return err
		},
		"SetLimits": func(ctx context.Context) error {
			_, err := client.SetLimits(ctx, &authv1.SetLimitsRequest{Tenant: "nowhere"})
			return err
		},
		"WatchLimits": func(ctx context.Context) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			stream, err := client.WatchLimits(ctx, &authv1.WatchLimitsRequest{})
			if err != nil {
				return err
			}
			_, err = stream.Recv()
			return err
		},
		"WatchRevocations": func(ctx context.Context) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			stream, err := client.WatchRevocations(ctx, &authv1.WatchRevocationsRequest{})
			if err != nil {
				return err
			}
			_, err = stream.Recv()
			return err
		},
		"WhoAmI": func(ctx context.Context) error {
			_, err := client.WhoAmI(ctx, &authv1.WhoAmIRequest{})
			return err
		},
	}
}

// Whoever comes without a service token of this mesh gets nowhere.
func TestTheListenerTakesServiceTokensOnly(t *testing.T) {
	r := start(t, sqltest.SQLite(t), config())
	login, err := r.gateway().Login(t.Context(), &authv1.LoginRequest{Tenant: "driftmesh", Username: "admin", Password: adminPassword})
	require.NoError(t, err)
	foreign, err := signer(t, bytes.Repeat([]byte("x"), 32)).Token(meshAdmin, "auth")
	require.NoError(t, err)
	key, err := identity.DeriveKey(meshSecret, "service token v1")
	require.NoError(t, err)
	forge := func(method jwt.SigningMethod, key any, change func(jwt.MapClaims)) string {
		c := jwt.MapClaims{"iss": "gateway", "sub": "admin", "aud": "driftmesh-mesh/auth", "iat": time.Now().Unix(), "tenant": "driftmesh",
			"kind": "user", "admin": true, "exp": time.Now().Add(time.Minute).Unix()}
		change(c)
		text, err := jwt.NewWithClaims(method, c).SignedString(key)
		require.NoError(t, err)
		return text
	}
	same := func(jwt.MapClaims) {}
	good := forge(jwt.SigningMethodHS256, key, same)
	_, err = r.dial(header("Bearer "+good)).WhoAmI(t.Context(), &authv1.WhoAmIRequest{})
	require.NoError(t, err, "the base case must be good, or the others prove nothing")

	for name, row := range map[string]struct{ header, reason string }{
		"nothing":        {"", identity.ReasonMissing},
		"user token":     {"Bearer " + login.GetToken(), identity.ReasonSignature},
		"other mesh":     {"Bearer " + foreign, identity.ReasonSignature},
		"alg none":       {"Bearer " + forge(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, same), identity.ReasonSignature},
		"expired":        {"Bearer " + forge(jwt.SigningMethodHS256, key, func(c jwt.MapClaims) { c["exp"] = 1 }), identity.ReasonExpired},
		"other audience": {"Bearer " + forge(jwt.SigningMethodHS256, key, func(c jwt.MapClaims) { c["aud"] = "driftmesh" }), identity.ReasonAudience},
		"basic":          {"Basic YWRtaW46YWRtaW4=", identity.ReasonScheme},
		"garbage":        {"Bearer garbage", identity.ReasonMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			client := r.dial(header(row.header))
			for method, call := range calls(client) {
				err := call(t.Context())
				require.Equal(t, codes.Unauthenticated, fault.KindOf(err).Code(), "%s: %v", method, err)
				requireCode(t, err, row.reason)
			}
		})
	}
	t.Run("open methods", func(t *testing.T) {
		client := r.dial(nil)
		_, err := client.ListKeys(t.Context(), &authv1.ListKeysRequest{})
		require.NoError(t, err)
		_, err = client.Login(t.Context(), &authv1.LoginRequest{Tenant: "driftmesh", Username: "admin", Password: adminPassword})
		require.NoError(t, err)
	})
}

// User tokens as the gateway sees them: only those this mesh gave out.
func TestForgedUserTokens(t *testing.T) {
	r := start(t, sqltest.SQLite(t), config())
	client := r.gateway()
	tokens := verifier(client)
	login, err := client.Login(t.Context(), &authv1.LoginRequest{Tenant: "driftmesh", Username: "admin", Password: adminPassword})
	require.NoError(t, err)
	_, err = tokens.Verify(t.Context(), login.GetToken())
	require.NoError(t, err)

	keys, err := client.ListKeys(t.Context(), &authv1.ListKeysRequest{})
	require.NoError(t, err)
	var set struct{ Keys []struct{ Kid, X string } }
	require.NoError(t, json.Unmarshal([]byte(keys.GetJwks()), &set))
	public, err := base64.RawURLEncoding.DecodeString(set.Keys[0].X)
	require.NoError(t, err)
	_, other, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	forge := func(method jwt.SigningMethod, key any) string {
		token := jwt.NewWithClaims(method, jwt.MapClaims{"iss": identity.TokenIssuer, "aud": identity.TokenAudience, "sub": "admin",
			"tenant": "driftmesh", "admin": true, "exp": time.Now().Add(time.Minute).Unix()})
		token.Header["kid"] = set.Keys[0].Kid
		text, err := token.SignedString(key)
		require.NoError(t, err)
		return text
	}
	parts := strings.Split(login.GetToken(), ".")
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	require.NoError(t, err)
	changed := parts[0] + "." + base64.RawURLEncoding.EncodeToString(
		bytes.Replace(claims, []byte(`"driftmesh"`), []byte(`"acme-corp"`), 1)) + "." + parts[2]
	for name, token := range map[string]string{
		"another key":          forge(jwt.SigningMethodEdDSA, other),
		"HMAC with public key": forge(jwt.SigningMethodHS256, public),
		"alg none":             forge(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType),
		"changed claims":       changed,
	} {
		_, err := tokens.Verify(t.Context(), token)
		require.ErrorIs(t, err, fault.Unauthenticated, name)
		requireCode(t, err, identity.ReasonSignature)
	}
}

// One row per caller: which methods let it in. A call that is let in may still
// fail for its request (NOT_FOUND), but never with PERMISSION_DENIED.
func TestWhoMayDoWhat(t *testing.T) {
	client := start(t, sqltest.SQLite(t), config()).gateway()
	for _, tenant := range []string{"acme", "beta"} {
		_, err := client.CreateTenant(as(t, meshAdmin), &authv1.CreateTenantRequest{Name: tenant})
		require.NoError(t, err)
	}
	own := "CreateUser ListUsers ResetPassword SetUserDisabled SetUserRole DeleteUser CreateAPIKey ListAPIKeys RotateAPIKey RevokeAPIKey WhoAmI GetLimits"
	for name, row := range map[string]struct {
		id      identity.Identity
		allowed string
	}{
		"mesh admin":                 {meshAdmin, own + " CreateTenant ListTenants SetTenantDisabled DeleteTenant RotateSigningKeys SetLimits"},
		"tenant admin":               {acmeAdmin, own},
		"user":                       {acmeUser, "WhoAmI GetLimits"},
		"user of the mesh":           {identity.Identity{Tenant: "driftmesh", Subject: "u", Kind: identity.User, Grant: policy.As(policy.Operator)}, "WhoAmI GetLimits"},
		"anonymous":                  {anonymous, "WhoAmI GetLimits"},
		"key":                        {identity.Identity{Tenant: "acme", Subject: "k", Kind: identity.Key, Grant: policy.As(policy.Ingest)}, "WhoAmI GetLimits"},
		"admin key":                  {identity.Identity{Tenant: "acme", Subject: "k", Kind: identity.Key, Grant: policy.As(policy.Admin)}, own},
		"service":                    {gateway, "WhoAmI GetLimits CheckAPIKey WatchRevocations WatchLimits"},
		"service, for some tenant":   {identity.ForService("drift", "acme"), "WhoAmI GetLimits"},
		"user called like a service": {identity.Identity{Tenant: "driftmesh", Subject: "gateway", Kind: identity.User, Grant: policy.As(policy.Editor)}, "WhoAmI GetLimits"},
	} {
		t.Run(name, func(t *testing.T) {
			for method, call := range calls(client) {
				err := call(as(t, row.id))
				if strings.Contains(" "+row.allowed+" ", " "+method+" ") {
					require.NotEqual(t, codes.PermissionDenied, fault.KindOf(err).Code(), "%s: %v", method, err)
				} else {
					require.ErrorIs(t, err, fault.Denied, method)
					requireCode(t, err, "NOT_ALLOWED")
				}
			}
		})
	}
}

// The administrator of one tenant neither changes nor sees another.
func TestTenantsAreApart(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		client := start(t, url, config()).gateway()
		for _, tenant := range []string{"acme", "beta"} {
			_, err := client.CreateTenant(as(t, meshAdmin), &authv1.CreateTenantRequest{Name: tenant})
			require.NoError(t, err)
		}
		_, err := client.CreateUser(as(t, betaAdmin), &authv1.CreateUserRequest{Username: "bea", Password: "bea's password"})
		require.NoError(t, err)
		key, err := client.CreateAPIKey(as(t, betaAdmin), &authv1.CreateAPIKeyRequest{Name: "ci"})
		require.NoError(t, err)

		for _, tenant := range []string{"beta", "driftmesh", "nowhere"} {
			_, err = client.CreateUser(as(t, acmeAdmin), &authv1.CreateUserRequest{Tenant: tenant, Username: "evil", Password: "password"})
			require.ErrorIs(t, err, fault.Denied, "and no word on whether it exists")
			_, err = client.CreateAPIKey(as(t, acmeAdmin), &authv1.CreateAPIKeyRequest{Tenant: tenant, Name: "evil", Admin: true})
			require.ErrorIs(t, err, fault.Denied)
		}
		users, err := client.ListUsers(as(t, acmeAdmin), &authv1.ListUsersRequest{})
		require.NoError(t, err)
		require.Empty(t, users.GetUsers())
		keys, err := client.ListAPIKeys(as(t, acmeAdmin), &authv1.ListAPIKeysRequest{})
		require.NoError(t, err)
		require.Empty(t, keys.GetApiKeys())
		_, theirs := client.RevokeAPIKey(as(t, acmeAdmin), &authv1.RevokeAPIKeyRequest{Id: key.GetApiKey().GetId()})
		require.ErrorIs(t, theirs, fault.NotFound)
		_, nobodys := client.RevokeAPIKey(as(t, acmeAdmin), &authv1.RevokeAPIKeyRequest{Id: "0000"})
		require.ErrorIs(t, nobodys, fault.NotFound)
		_, err = keyOwner(t, client, key.GetKey())
		require.NoError(t, err, "beta's key still works")
		_, err = client.Login(t.Context(), &authv1.LoginRequest{Tenant: "acme", Username: "bea", Password: "bea's password"})
		require.ErrorIs(t, err, fault.Unauthenticated)
	})
}

func keyOwner(t *testing.T, client authv1.AuthServiceClient, key string) (identity.Identity, error) {
	t.Helper()
	return identity.NewKeyVerifier(keyCheck(client)).Verify(t.Context(), key)
}

func TestAPIKeysFromMakingToRevoking(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		client := start(t, url, config()).gateway()
		_, err := client.CreateTenant(as(t, meshAdmin), &authv1.CreateTenantRequest{Name: "acme"})
		require.NoError(t, err)
		ends := time.Now().Add(time.Hour)
		made, err := client.CreateAPIKey(as(t, acmeAdmin), &authv1.CreateAPIKeyRequest{Name: "ci", Admin: true, ExpireTime: timestamppb.New(ends)})
		require.NoError(t, err)
		require.WithinDuration(t, ends, made.GetApiKey().GetExpireTime().AsTime(), time.Microsecond)
		usual, err := client.CreateAPIKey(as(t, acmeAdmin), &authv1.CreateAPIKeyRequest{Name: "usual"})
		require.NoError(t, err)
		require.WithinDuration(t, time.Now().Add(90*24*time.Hour), usual.GetApiKey().GetExpireTime().AsTime(), time.Minute, "as is set")
		_, err = client.RevokeAPIKey(as(t, acmeAdmin), &authv1.RevokeAPIKeyRequest{Id: usual.GetApiKey().GetId()})
		require.NoError(t, err)
		forever, err := client.CreateAPIKey(as(t, meshAdmin), &authv1.CreateAPIKeyRequest{Name: "sensor", Tenant: "acme", NoExpiry: true})
		require.NoError(t, err)
		require.Nil(t, forever.GetApiKey().GetExpireTime())

		owner, err := keyOwner(t, client, made.GetKey())
		require.NoError(t, err)
		require.Equal(t, identity.Identity{Tenant: "acme", Subject: made.GetApiKey().GetId(), Kind: identity.Key, Grant: policy.As(policy.Admin)}, owner)
		owner, err = keyOwner(t, client, forever.GetKey())
		require.NoError(t, err)
		require.Equal(t, policy.As(policy.Ingest), owner.Grant, "a key is for sending unless more is asked for")

		list, err := client.ListAPIKeys(as(t, acmeAdmin), &authv1.ListAPIKeysRequest{})
		require.NoError(t, err)
		require.Len(t, list.GetApiKeys(), 2)
		require.Equal(t, forever.GetApiKey().String(), list.GetApiKeys()[0].String())
		require.Equal(t, made.GetApiKey().String(), list.GetApiKeys()[1].String())

		otherSecret := identity.FormatAPIKey(made.GetApiKey().GetId(), make([]byte, 32))
		for name, key := range map[string]string{"other secret": otherSecret, "unknown": identity.FormatAPIKey("0000", make([]byte, 32)), "malformed": "dm_x"} {
			_, err = keyOwner(t, client, key)
			require.ErrorIs(t, err, fault.Unauthenticated, name)
			requireCode(t, err, identity.ReasonAPIKeyRefused)
		}
		_, err = client.RevokeAPIKey(as(t, acmeAdmin), &authv1.RevokeAPIKeyRequest{Id: made.GetApiKey().GetId()})
		require.NoError(t, err)
		_, err = client.RevokeAPIKey(as(t, meshAdmin), &authv1.RevokeAPIKeyRequest{Id: forever.GetApiKey().GetId()})
		require.NoError(t, err)
		for _, key := range []string{made.GetKey(), forever.GetKey()} {
			_, err = keyOwner(t, client, key)
			requireCode(t, err, identity.ReasonAPIKeyRefused)
		}
	})
}

func TestAPIKeysExpire(t *testing.T) {
	client := start(t, sqltest.SQLite(t), config()).gateway()
	made, err := client.CreateAPIKey(as(t, meshAdmin), &authv1.CreateAPIKeyRequest{Name: "ci", Tenant: "default",
		ExpireTime: timestamppb.New(time.Now().Add(500 * time.Millisecond))})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, err := keyOwner(t, client, made.GetKey())
		return err != nil && fault.Of(err).Reason() == identity.ReasonAPIKeyRefused
	}, 10*time.Second, 50*time.Millisecond)
}

func TestAnswersToBadRequestsNameFieldAndRule(t *testing.T) {
	client := start(t, sqltest.SQLite(t), config()).gateway()
	boss := as(t, meshAdmin)
	tenant := func(name string) error {
		_, err := client.CreateTenant(boss, &authv1.CreateTenantRequest{Name: name})
		return err
	}
	user := func(tenant, name, password string) error {
		_, err := client.CreateUser(boss, &authv1.CreateUserRequest{Tenant: tenant, Username: name, Password: password})
		return err
	}
	key := func(name string, ends *timestamppb.Timestamp) error {
		_, err := client.CreateAPIKey(boss, &authv1.CreateAPIKeyRequest{Tenant: "default", Name: name, ExpireTime: ends})
		return err
	}
	login := func(tenant, name, password string) error {
		_, err := client.Login(t.Context(), &authv1.LoginRequest{Tenant: tenant, Username: name, Password: password})
		return err
	}
	for _, row := range []struct {
		err  error
		kind fault.Kind
		text string
	}{
		{tenant("Acme Corp"), fault.Invalid, `tenant name: want 1 to 63 of a-z, 0-9 and "-"`},
		{tenant(""), fault.Invalid, "tenant name: want 1 to 63"},
		{tenant("driftmesh"), fault.Invalid, `tenant name: "driftmesh" is reserved`},
		{tenant("default"), fault.Exists, `tenant "default" exists already`},
		{user("default", "", "a fine password"), fault.Invalid, "username: has 0 bytes, want 1 to 128"},
		{user("default", "ann", "P4ssw0rd!"), fault.Invalid, "password: is one that others guess first"},
		{user("default", "ann", "default.ann"), fault.Invalid, "password: is little more than the name"},
		{user("default", "ann", "short"), fault.Invalid, "password: has 5 bytes, want 8 to 256"},
		{user("default", "", "short"), fault.Invalid, "username: has 0 bytes, want 1 to 128; password: has 5 bytes"},
		{user("X", "ann", "a fine password"), fault.Invalid, "tenant name: want"},
		{user("nowhere", "ann", "a fine password"), fault.NotFound, `tenant "nowhere" does not exist`},
		{user("driftmesh", "admin", "a fine password"), fault.Exists, `user "admin" of tenant "driftmesh" exists already`},
		{key("", nil), fault.Invalid, "name: has 0 bytes, want 1 to 128"},
		{key("x", timestamppb.New(time.Unix(1, 0))), fault.Invalid, "expire_time: must be in the future"},
		{key("x", &timestamppb.Timestamp{Seconds: -1 << 62}), fault.Invalid, "expire_time: not a valid time"},
		{login("../x", "ann", "password"), fault.Invalid, "tenant name: want"},
		{login("", "", "password"), fault.Invalid, "username: has 0 bytes"},
		{login("", "ann", strings.Repeat("x", 1000)), fault.Invalid, "password: has 1000 bytes, want 8 to 256"},
	} {
		require.ErrorIs(t, row.err, row.kind)
		require.Contains(t, fault.Of(row.err).Message(), row.text)
		require.NotEmpty(t, fault.Of(row.err).Reason(), row.text)
	}
}

func TestGuessingPasswordsIsSlowedDown(t *testing.T) {
	client := start(t, sqltest.SQLite(t), config()).gateway()
	login := func(user, password string) error {
		_, err := client.Login(t.Context(), &authv1.LoginRequest{Tenant: "driftmesh", Username: user, Password: password})
		return err
	}
	for range 5 {
		requireCode(t, login("admin", "wrong horse"), "LOGIN_REFUSED")
		requireCode(t, login("nobody", "wrong horse"), "LOGIN_REFUSED")
	}
	for _, user := range []string{"admin", "nobody"} {
		err := login(user, adminPassword)
		require.ErrorIs(t, err, fault.Exhausted)
		requireCode(t, err, "LOGIN_THROTTLED")
		require.Positive(t, fault.Of(err).RetryAfter())
	}
	require.Eventually(t, func() bool { return login("admin", adminPassword) == nil }, 10*time.Second, 100*time.Millisecond)
}

// Nobody gives more than it has: not a role, not a permission, not a space.
func TestNobodyGivesMoreThanItHas(t *testing.T) {
	client := start(t, sqltest.SQLite(t), config()).gateway()
	_, err := client.CreateTenant(as(t, meshAdmin), &authv1.CreateTenantRequest{Name: "acme"})
	require.NoError(t, err)
	keyMaker := identity.Identity{Tenant: "acme", Subject: "k", Kind: identity.Key,
		Grant: policy.Grant{Role: policy.Admin, Only: policy.OnlyOf(policy.KeysWrite, policy.SpansWrite)}}
	for _, row := range []struct {
		by   identity.Identity
		req  *authv1.CreateAPIKeyRequest
		want error
	}{
		{acmeAdmin, &authv1.CreateAPIKeyRequest{Name: "n", Role: "admin"}, nil},
		{acmeAdmin, &authv1.CreateAPIKeyRequest{Name: "n", Role: "viewer", Permissions: []string{"traces.read"}, Spaces: []string{"b", "a"}}, nil},
		{meshAdmin, &authv1.CreateAPIKeyRequest{Name: "n", Role: "operator", Tenant: "acme"}, nil},
		{keyMaker, &authv1.CreateAPIKeyRequest{Name: "n", Role: "editor", Permissions: []string{"spans.write"}}, nil},
		{keyMaker, &authv1.CreateAPIKeyRequest{Name: "n", Role: "ingest"}, fault.Denied}, // it has no records.write
		{keyMaker, &authv1.CreateAPIKeyRequest{Name: "n", Role: "admin"}, fault.Denied},
		{keyMaker, &authv1.CreateAPIKeyRequest{Name: "n", Admin: true}, fault.Denied},
		{acmeUser, &authv1.CreateAPIKeyRequest{Name: "n"}, fault.Denied},
		{acmeAdmin, &authv1.CreateAPIKeyRequest{Name: "n", Role: "root"}, fault.Invalid},
		{acmeAdmin, &authv1.CreateAPIKeyRequest{Name: "n", Role: "service"}, fault.Invalid},
		{acmeAdmin, &authv1.CreateAPIKeyRequest{Name: "n", Role: "viewer", Admin: true}, fault.Invalid},
		{acmeAdmin, &authv1.CreateAPIKeyRequest{Name: "n", Role: "ingest", Permissions: []string{"traces.read"}}, fault.Invalid},
		{acmeAdmin, &authv1.CreateAPIKeyRequest{Name: "n", Permissions: []string{"service.call"}}, fault.Invalid},
		{acmeAdmin, &authv1.CreateAPIKeyRequest{Name: "n", Spaces: []string{"a,b"}}, fault.Invalid},
	} {
		made, err := client.CreateAPIKey(as(t, row.by), row.req)
		if row.want != nil {
			require.ErrorIs(t, err, row.want, row.req)
			continue
		}
		require.NoError(t, err, row.req)
		owner, err := keyOwner(t, client, made.GetKey())
		require.NoError(t, err)
		said := identity.ClaimsOf(owner.Grant)
		require.Equal(t, row.req.GetRole(), said.Role)
		require.Equal(t, row.req.GetPermissions(), said.Permissions)
		require.ElementsMatch(t, row.req.GetSpaces(), said.Spaces)
	}
	made, err := client.CreateUser(as(t, acmeAdmin), &authv1.CreateUserRequest{Username: "cat", Password: "a long password", Spaces: []string{"fraud"}})
	require.NoError(t, err)
	require.Equal(t, "viewer", made.GetUser().GetRole(), "who may little is made by saying nothing")
	require.Equal(t, []string{"fraud"}, made.GetUser().GetSpaces())
}
