// A single-page application without a server. It signs users in at an OpenID provider (public client, authorization code with
// PKCE) with the browser's fetch and crypto only. Tokens exist only in the memory of the page: a reload signs in again, without
// a prompt while the user is still signed in at the provider.

const config = await (await fetch('config.json')).json()
const provider = await (await fetch(`${config.issuer}/.well-known/openid-configuration`)).json()
const redirectUri = location.origin + location.pathname
const element = (id) => document.getElementById(id)
let tokens

const base64url = (bytes) =>
  btoa(String.fromCharCode(...new Uint8Array(bytes))).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)))
const sha256 = async (text) => base64url(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text)))

async function signIn() {
  const checks = { state: random(), nonce: random(), verifier: random() }
  sessionStorage.setItem('checks', JSON.stringify(checks))
  const url = new URL(provider.authorization_endpoint)
  url.search = new URLSearchParams({
    response_type: 'code',
    client_id: config.client_id,
    redirect_uri: redirectUri,
    scope: config.scope,
    state: checks.state,
    nonce: checks.nonce,
    code_challenge: await sha256(checks.verifier),
    code_challenge_method: 'S256',
  })
  location.assign(url)
}

/** Handles the redirect from the provider: exchanges the code for tokens if this tab started the sign-in. */
async function finish(answer) {
  const checks = JSON.parse(sessionStorage.getItem('checks') ?? '{}')
  sessionStorage.removeItem('checks')
  history.replaceState(null, '', redirectUri) // removes the code from the history
  if (answer.get('state') !== checks.state || answer.get('iss') !== provider.issuer) throw new Error('That was not asked for here.')
  if (answer.has('error')) throw new Error(answer.get('error_description') ?? answer.get('error'))
  const got = await post(provider.token_endpoint, {
    grant_type: 'authorization_code',
    code: answer.get('code'),
    redirect_uri: redirectUri,
    code_verifier: checks.verifier,
  })
  // The ID token comes directly from the provider over TLS, so only its claims are checked (OpenID Connect Core 3.1.3.7).
  const claims = JSON.parse(new TextDecoder().decode(bytes(got.id_token.split('.')[1])))
  const meant = claims.iss === provider.issuer && claims.aud === config.client_id && claims.nonce === checks.nonce
  if (!meant || claims.exp * 1000 < Date.now()) throw new Error('The ID token is not for this sign-in.')
  tokens = got
  const user = await ask()
  show(`Signed in as ${user.preferred_username ?? user.name ?? claims.sub}.`)
}

const bytes = (text) => Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (letter) => letter.charCodeAt(0))

async function post(url, form) {
  const answer = await fetch(url, { method: 'POST', body: new URLSearchParams({ client_id: config.client_id, ...form }) })
  const text = await answer.text()
  if (!answer.ok) throw new Error(`${answer.status} ${text}`)
  return text && JSON.parse(text)
}

/** What the provider says of the person; the answer is shown, too. */
async function ask() {
  const answer = await fetch(provider.userinfo_endpoint, { headers: { authorization: `Bearer ${tokens.access_token}` } })
  const user = await answer.json().catch(() => ({}))
  element('answer').hidden = false
  element('answer').textContent = `${answer.status}\n${JSON.stringify(user, null, 2)}`
  return user
}

async function signOut() {
  await post(provider.revocation_endpoint, { token: tokens.refresh_token ?? tokens.access_token })
  const url = new URL(provider.end_session_endpoint)
  url.search = new URLSearchParams({ id_token_hint: tokens.id_token, post_logout_redirect_uri: redirectUri })
  location.assign(url)
}

function show(words) {
  element('who').textContent = words
  element('sign-in').hidden = Boolean(tokens)
  element('ask').hidden = element('sign-out').hidden = !tokens
}

const failed = (error) => show(`That did not work: ${error.message}`)
element('sign-in').onclick = () => signIn().catch(failed)
element('ask').onclick = () => ask().catch(failed)
element('sign-out').onclick = () => signOut().catch(failed)

const answer = new URLSearchParams(location.search)
if (answer.has('state')) {
  await finish(answer).catch(failed)
} else {
  show('Nobody is signed in.')
}
