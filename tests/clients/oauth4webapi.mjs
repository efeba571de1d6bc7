// oauth4webapi (npm), unmodified, from discovery to logout: the library below openid-client, call by call.
import * as oauth from 'oauth4webapi'
import { ask, ensure, refused, run, settings, step } from './protocol.mjs'

const { issuer, web, post, jwt, spa, tv, jar } = settings
const options = { [oauth.allowInsecureRequests]: true }
const id = (who) => ({ client_id: who.id })
const key = (jwk) =>
  crypto.subtle.importKey('jwk', jwk, { name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign'])
const basic = oauth.ClientSecretBasic(web.secret)

async function discover() {
  const answer = await oauth.discoveryRequest(new URL(issuer), { algorithm: 'oauth2', ...options })
  await oauth.processDiscoveryResponse(new URL(issuer), answer)
  step('discovery_oauth2')
  const found = await oauth.discoveryRequest(new URL(issuer), options)
  const as = await oauth.processDiscoveryResponse(new URL(issuer), found)
  step('discovery')
  return as
}

async function credentials(as) {
  const ways = [
    ['basic', web, basic],
    ['post', post, oauth.ClientSecretPost(post.secret)],
    ['private_key_jwt', jwt, oauth.PrivateKeyJwt({ key: await key(jwt.key), kid: jwt.key.kid })],
  ]
  for (const [name, who, authentication] of ways) {
    const answer = await oauth.clientCredentialsGrantRequest(as, id(who), authentication, { scope: 'read' }, options)
    const tokens = await oauth.processClientCredentialsResponse(as, id(who), answer)
    ensure(tokens.scope === 'read' && tokens.token_type === 'bearer', 'a token')
    step(`client_credentials_${name}`)
  }
}

/** Parameters of a request with PKCE, state and nonce, and the secrets behind them. */
async function request(who, scope = 'openid email read') {
  const [verifier, state, nonce] = [oauth.generateRandomCodeVerifier(), oauth.generateRandomState(), oauth.generateRandomNonce()]
  const parameters = {
    client_id: who.id,
    redirect_uri: who.redirect_uri,
    response_type: 'code',
    scope,
    state,
    nonce,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
  }
  return { parameters, verifier, state, nonce }
}

function authorizationUrl(as, parameters) {
  const url = new URL(as.authorization_endpoint)
  url.search = new URLSearchParams(parameters)
  return url.href
}

/** Redeems what the browser came back with. */
async function redeem(as, who, authentication, started, callback, more = {}) {
  const parameters = oauth.validateAuthResponse(as, id(who), callback, started.state)
  const ask = () =>
    oauth.authorizationCodeGrantRequest(as, id(who), authentication, parameters, who.redirect_uri, started.verifier, { ...options, ...more })
  const process = (answer) =>
    oauth.processAuthorizationCodeResponse(as, id(who), answer, { expectedNonce: started.nonce, requireIdToken: true })
  try {
    return await process(await ask())
  } catch (error) {
    if (!more.DPoP || !oauth.isDPoPNonceError(error)) throw error
    return process(await ask())
  }
}

async function code(as) {
  const started = await request(web)
  const callback = await ask('authorize', authorizationUrl(as, started.parameters))
  const tokens = await redeem(as, web, basic, started, callback)
  step('code')
  await refused(redeem(as, web, basic, started, callback), 'invalid_grant')
  step('code_replayed')
  const again = await request(web)
  return redeem(as, web, basic, again, await ask('authorize', authorizationUrl(as, again.parameters)))
}

async function useTokens(as, tokens) {
  const { sub } = oauth.getValidatedIdTokenClaims(tokens)
  const asked = await oauth.userInfoRequest(as, id(web), tokens.access_token, options)
  ensure((await oauth.processUserInfoResponse(as, id(web), sub, asked)).email === 'alice@example.com', 'the address')
  step('userinfo')
  const introspect = async (token) =>
    oauth.processIntrospectionResponse(as, id(web), await oauth.introspectionRequest(as, id(web), basic, token, options))
  ensure((await introspect(tokens.access_token)).active, 'a live token')
  step('introspection')
  const refresh = async (token) =>
    oauth.processRefreshTokenResponse(as, id(web), await oauth.refreshTokenGrantRequest(as, id(web), basic, token, options))
  const next = await refresh(tokens.refresh_token)
  ensure(next.refresh_token !== tokens.refresh_token, 'a rotated token')
  step('refresh')
  const exchange = { subject_token: next.access_token, subject_token_type: 'urn:ietf:params:oauth:token-type:access_token', scope: 'read' }
  const grant = 'urn:ietf:params:oauth:grant-type:token-exchange'
  const answer = await oauth.genericTokenEndpointRequest(as, id(web), basic, grant, exchange, options)
  ensure((await oauth.processGenericTokenEndpointResponse(as, id(web), answer)).scope === 'read', 'a narrower token')
  step('token_exchange')
  await oauth.processRevocationResponse(await oauth.revocationRequest(as, id(web), basic, next.refresh_token, options))
  await refused(refresh(next.refresh_token), 'invalid_grant')
  ensure(!(await introspect(next.access_token)).active, 'the grant is revoked')
  step('revocation')
}

async function requests(as) {
  const started = await request(web)
  const pushed = await oauth.pushedAuthorizationRequest(as, id(web), basic, started.parameters, options)
  const { request_uri } = await oauth.processPushedAuthorizationResponse(as, id(web), pushed)
  await redeem(as, web, basic, started, await ask('authorize', authorizationUrl(as, { client_id: web.id, request_uri })))
  step('par')
  const signed = await request(jar)
  const signer = { key: await key(jar.key), kid: jar.key.kid }
  const object = await oauth.issueRequestObject(as, id(jar), signed.parameters, signer)
  const url = authorizationUrl(as, { client_id: jar.id, request: object })
  await redeem(as, jar, oauth.ClientSecretBasic(jar.secret), signed, await ask('authorize', url))
  step('jar')
}

async function bound(as) {
  const DPoP = oauth.DPoP(id(spa), await oauth.generateKeyPair('ES256'))
  const started = await request(spa)
  const callback = await ask('authorize', authorizationUrl(as, started.parameters))
  const tokens = await redeem(as, spa, oauth.None(), started, callback, { DPoP })
  ensure(tokens.token_type === 'dpop', 'a bound token')
  step('dpop_code')
  const { sub } = oauth.getValidatedIdTokenClaims(tokens)
  const userinfo = () => oauth.userInfoRequest(as, id(spa), tokens.access_token, { DPoP, ...options })
  const asked = await userinfo().catch((error) => (oauth.isDPoPNonceError(error) ? userinfo() : Promise.reject(error)))
  await oauth.processUserInfoResponse(as, id(spa), sub, asked)
  step('dpop_userinfo')
}

async function device(as) {
  const answer = await oauth.deviceAuthorizationRequest(as, id(tv), oauth.None(), { scope: 'openid read' }, options)
  const started = await oauth.processDeviceAuthorizationResponse(as, id(tv), answer)
  const poll = async () =>
    oauth.processDeviceCodeResponse(as, id(tv), await oauth.deviceCodeGrantRequest(as, id(tv), oauth.None(), started.device_code, options))
  await refused(poll(), 'authorization_pending')
  step('device_pending')
  await ask('device', started.verification_uri_complete)
  await new Promise((resolve) => setTimeout(resolve, started.interval * 1000))
  ensure((await poll()).access_token, 'a token')
  step('device')
}

async function registration(as) {
  const metadata = { redirect_uris: [web.redirect_uri], client_name: 'another client that registered itself' }
  const client = await oauth.processDynamicClientRegistrationResponse(
    await oauth.dynamicClientRegistrationRequest(as, metadata, options),
  )
  const who = { id: client.client_id, redirect_uri: web.redirect_uri }
  const started = await request(who, 'openid')
  const callback = await ask('authorize', authorizationUrl(as, started.parameters))
  await redeem(as, who, oauth.ClientSecretBasic(client.client_secret), started, callback)
  step('registration')
}

async function logout(as) {
  const started = await request(web)
  const callback = await ask('authorize', authorizationUrl(as, started.parameters))
  const { id_token } = await redeem(as, web, basic, started, callback)
  const url = new URL(as.end_session_endpoint)
  url.search = new URLSearchParams({ id_token_hint: id_token, post_logout_redirect_uri: web.post_logout_redirect_uri })
  ensure((await ask('logout', url.href)).href === web.post_logout_redirect_uri, 'logged out')
  step('logout')
}

await run(async () => {
  const as = await discover()
  await credentials(as)
  await useTokens(as, await code(as))
  await requests(as)
  await bound(as)
  await device(as)
  await registration(as)
  await logout(as)
})
