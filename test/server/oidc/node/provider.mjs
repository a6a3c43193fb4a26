// An OpenID provider for tests: oidc-provider, which is certified, with its own forms
// for login, consent and codes of devices. Everybody may log in as anybody.
//
//   node provider.mjs '{"port": 1, "clients": [...], "accounts": {"ann": {...}}, "audience": "…"}'
//
// SIGHUP makes it sign with a new key and publish no other.
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const settings = JSON.parse(process.argv[2]);
const issuer = `http://127.0.0.1:${settings.port}`;
let keys = 0;

function make() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const key = { ...privateKey.export({ format: 'jwk' }), kid: `key-${++keys}`, alg: 'RS256', use: 'sig' };
  const provider = new Provider(issuer, {
    clients: settings.clients,
    jwks: { keys: [key] },
    cookies: { keys: ['for tests alone'] },
    scopes: ['openid', 'profile', 'email', 'groups'],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], groups: ['groups'] },
    conformIdTokenClaims: true, // claims of scopes are had from userinfo alone
    pkce: { required: () => true },
    ttl: { AccessToken: 3600, AuthorizationCode: 60, ClientCredentials: 600, DeviceCode: 600, Grant: 3600, IdToken: 3600, Interaction: 600, Session: 3600 },
    async findAccount(_ctx, id) {
      return { accountId: id, claims: async () => ({ sub: id, ...settings.accounts[id] }) };
    },
    features: {
      devInteractions: { enabled: true },
      deviceFlow: { enabled: true },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => undefined,
        getResourceServerInfo: () => ({ scope: 'ingest', audience: settings.audience, accessTokenFormat: 'jwt' }),
      },
    },
  });
  return provider.callback();
}

let current = make();
process.on('SIGHUP', () => { current = make(); });
createServer((req, res) => current(req, res)).listen(settings.port, '127.0.0.1');
