// Package browser logs people in who come with a browser, and keeps their session in
// its cookies:
//
//	GET  /login/start/{provider}?return=/path   to the OpenID provider
//	GET  /login/callback                        back from it, with a session
//	GET  /login/callback/{provider}             the same, where there are several
//	POST /login/refresh                         the next tokens
//	POST /login/logout                          the end
//
// auth does the work and seals what is between start and callback; the sealed text is
// the browser's own cookie, so that whoever begins a login is whoever ends it. What
// comes back to the address of one provider finds the cookie of its logins alone.
//
// No cookie can be read by a page (HttpOnly), none is sent with what another site
// changes (SameSite=Lax, and package origin), and over TLS none can be read on the way
// or be set by a neighbour of the same domain (the prefix __Host-). Over plain text,
// on loopback alone, they have the port in their name instead.
package browser
