// openid-client (npm), unmodified, from discovery to logout.
import * as client from 'openid-client'
import { ask, ensure, refused, run, settings, step } from './protocol.mjs'

const { issuer, web, post, jwt, spa, tv, jar, audience } = settings
const insecure = { execute: [client.allowInsecureRequests] }
const configure = (who, authentication, options = {}) =>
  client.discovery(new URL(issuer), who.id, undefined, authentication, { ...insecure, ...options })

const key = (jwk) =>
  crypto.subtle.importKey('jwk', jwk, { name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign'])

/** A request with PKCE, state and nonce; and what the answer is checked against. */
async function request(who, scope = 'openid email read') {
  const verifier = client.randomPKCECodeVerifier()
  const checks = { pkceCodeVerifier: verifier, expectedState: client.randomState(), expectedNonce: client.randomNonce() }
  const parameters = {
    redirect_uri: who.redirect_uri,
    scope,
    state: checks.expectedState,
    nonce: checks.expectedNonce,
    code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
  }
  return { parameters, checks }
}

async function credentials() {
  const basic = await configure(web, client.ClientSecretBasic(web.secret))
  ensure(basic.serverMetadata().issuer === issuer, 'the issuer')
  step('discovery')
  await configure(web, client.ClientSecretBasic(web.secret), { algorithm: 'oauth2' })
  step('discovery_oauth2')
  ensure((await client.clientCredentialsGrant(basic, { scope: 'read' })).scope === 'read', 'the scope')
  step('client_credentials_basic')
  await client.clientCredentialsGrant(await configure(post, client.ClientSecretPost(post.secret)), { resource: audience })
  step('client_credentials_post')
  const signed = client.PrivateKeyJwt({ key: await key(jwt.key), kid: jwt.key.kid })
  await client.clientCredentialsGrant(await configure(jwt, signed))
  step('client_credentials_private_key_jwt')
  return basic
}

async function code(config) {
  const { parameters, checks } = await request(web)
  const callback = await ask('authorize', client.buildAuthorizationUrl(config, parameters).href)
  const tokens = await client.authorizationCodeGrant(config, callback, checks)
  ensure(tokens.claims().sub, 'a subject')
  step('code')
  await refused(client.authorizationCodeGrant(config, callback, checks), 'invalid_grant')
  step('code_replayed')
  return tokens
}

async function tokens(config) {
  await code(config)
  const { parameters, checks } = await request(web)
  const aged = { ...parameters, max_age: '3600' }
  const callback = await ask('authorize', client.buildAuthorizationUrl(config, aged).href)
  const first = await client.authorizationCodeGrant(config, callback, { ...checks, maxAge: 3600 })
  step('max_age')
  const user = await client.fetchUserInfo(config, first.access_token, first.claims().sub)
  ensure(user.email === 'alice@example.com', 'the address')
  step('userinfo')
  ensure((await client.tokenIntrospection(config, first.access_token)).active, 'a live token')
  step('introspection')
  const next = await client.refreshTokenGrant(config, first.refresh_token)
  ensure(next.refresh_token !== first.refresh_token && next.claims().sub === first.claims().sub, 'a rotated token')
  step('refresh')
  const exchanged = await client.genericGrantRequest(config, 'urn:ietf:params:oauth:grant-type:token-exchange', {
    subject_token: next.access_token,
    subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    scope: 'read',
  })
  ensure(exchanged.scope === 'read', 'a narrower token')
  step('token_exchange')
  await client.tokenRevocation(config, next.refresh_token)
  await refused(client.refreshTokenGrant(config, next.refresh_token), 'invalid_grant')
  ensure(!(await client.tokenIntrospection(config, next.access_token)).active, 'the grant is revoked')
  step('revocation')
}

async function requests(config) {
  const pushed = await request(web)
  const uri = await client.buildAuthorizationUrlWithPAR(config, pushed.parameters)
  await client.authorizationCodeGrant(config, await ask('authorize', uri.href), pushed.checks)
  step('par')
  const signer = await configure(jar, client.ClientSecretBasic(jar.secret))
  const signed = await request(jar)
  const url = await client.buildAuthorizationUrlWithJAR(signer, signed.parameters, { key: await key(jar.key), kid: jar.key.kid })
  await client.authorizationCodeGrant(signer, await ask('authorize', url.href), signed.checks)
  step('jar')
}

async function bound() {
  const config = await configure(spa, client.None())
  const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair())
  const { parameters, checks } = await request(spa)
  const url = await client.buildAuthorizationUrlWithPAR(config, parameters, { DPoP })
  const tokens = await client.authorizationCodeGrant(config, await ask('authorize', url.href), checks, undefined, { DPoP })
  ensure(tokens.token_type === 'dpop', 'a bound token')
  step('dpop_code')
  await client.fetchUserInfo(config, tokens.access_token, tokens.claims().sub, { DPoP })
  step('dpop_userinfo')
  const next = await client.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP })
  ensure(next.token_type === 'dpop', 'a bound token')
  step('dpop_refresh')
}

async function device() {
  const config = await configure(tv, client.None())
  const started = await client.initiateDeviceAuthorization(config, { scope: 'openid read' })
  await ask('device', started.verification_uri_complete)
  const tokens = await client.pollDeviceAuthorizationGrant(config, started)
  ensure(tokens.claims().aud === tv.id, 'an ID token for the device')
  step('device')
}

async function registration() {
  const metadata = { redirect_uris: [web.redirect_uri], client_name: 'a client that registered itself' }
  const config = await client.dynamicClientRegistration(new URL(issuer), metadata, undefined, insecure)
  const { parameters, checks } = await request(web, 'openid')
  const callback = await ask('authorize', client.buildAuthorizationUrl(config, parameters).href)
  await client.authorizationCodeGrant(config, callback, checks)
  step('registration')
}

async function logout(config) {
  const { parameters, checks } = await request(web)
  const callback = await ask('authorize', client.buildAuthorizationUrl(config, parameters).href)
  const { id_token } = await client.authorizationCodeGrant(config, callback, checks)
  const after = { post_logout_redirect_uri: web.post_logout_redirect_uri, state: 'bye' }
  const end = await ask('logout', client.buildEndSessionUrl(config, { id_token_hint: id_token, ...after }).href)
  ensure(end.href === `${web.post_logout_redirect_uri}?state=bye`, `logged out to ${end}`)
  step('logout')
}

await run(async () => {
  const config = await credentials()
  await tokens(config)
  await requests(config)
  await bound()
  await device()
  await registration()
  await logout(config)
})
