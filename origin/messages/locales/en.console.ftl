
### The administrators' console

## All pages of the console

console-actions = Actions
console-active = Active
console-admin-badge = Administrator
console-all = All
console-cancel = Cancel
console-client = Client
console-created = Created
console-details = Details
console-disable = Disable
console-disabled = Disabled
console-edit = Edit
# $name: what is edited.
console-edit-name = Edit { $name }
console-enable = Enable
console-filter = Filter
console-name = Name
console-name-hint = Users see it on the consent page.
console-never = Never
console-none = None
console-not-set = Not set
console-reason = Reason
console-reason-hint = Recorded in the audit log. Optional.
console-remove = Remove
# $name: what is removed.
console-remove-name = Remove { $name }
console-revoke = Revoke
console-save = Save
console-scope = Scope
console-status = Status
console-user = User
console-view-all = View all

## Overview

overview-lead = Activity of the last 60 minutes, and the state of edges and keys.
overview-refresh = Refresh
overview-http-redirects = Development setting: http redirect URIs may lead to any host, so codes and tokens can cross the network in plain text. Turn TOLLGATE_ALLOW_HTTP_REDIRECTS off before others use this server.
overview-hour-ago = 60 min ago
overview-issued = Tokens issued
overview-refused = Requests refused
overview-revoked = Revocations
# $sum: in the last hour. $most: in the busiest minute.
overview-chart-issued = { $sum } tokens issued in the last 60 minutes, at most { $most } in one minute.
overview-chart-refused = { $sum } requests refused in the last 60 minutes, at most { $most } in one minute.
overview-chart-revoked = { $sum } revocations in the last 60 minutes, at most { $most } in one minute.
overview-chart-none = None in the last 60 minutes.
overview-hashing-queue = Password hashing queue
# $queued: passwords that wait. $capacity: how many may.
overview-hashing-queue-used = { $queued } of { $capacity } places in the queue are used.
# $working: busy threads, of $workers. $capacity: the length of the queue.
overview-hashing-workers = { $working } of { $workers } threads busy, queue of { $capacity }
# $count: passwords that found no place in the queue.
overview-hashing-refused = { $count ->
    [one] ({ $count } refused since the start)
   *[other] ({ $count } refused since the start)
}
overview-no-edges = No edges are registered.
overview-refusals = Refusals by reason
overview-no-refusals = Nothing was refused in the last 60 minutes.
overview-refusal-count = Count
overview-refusal-share = Share
# $percent: a share of all refusals.
overview-refusal-percent = { $percent } percent of all
overview-active-keys = Active keys

## Clients

clients-lead = Applications and services that request tokens.
clients-search = Name, owner or ID
clients-none = No clients are registered yet.
# $search: what was searched for.
clients-none-found = No client has “{ $search }” in its name, owner or ID.
client-new = New client
client-edit = Edit client
# $client: its name.
client-edit-title = Edit { $client }
client-create = Create client
client-identity = Identity
client-owner = Owner
client-owner-hint = The publisher that users see. Optional.
client-id = Client ID
client-id-hint = Leave empty for a random one.
client-self-registered = Self-registered
client-first-party = First party
client-first-party-hint = First party: users are not asked for consent
client-first-party-yes = Yes: users are not asked for consent
client-first-party-no = No
client-authorization = Authorization
client-grants = Grants
client-authentication = Client authentication
# $method: the method without authentication.
client-authentication-hint = Choose { $method } for applications that cannot keep a secret.
client-rotation = Refresh tokens
client-rotation-hint = Tokens that stay the same suit clients that authenticate. Others need tokens that are bound to a DPoP key.
client-rotation-default = Default
client-rotation-on = A new one at each use
client-rotation-off = The same at each use
client-redirect-uris = Redirect URIs
client-redirect-uris-hint = One per line. Required for the authorization code grant.
client-logout-uris = Post-logout redirect URIs
client-logout-uris-hint = One per line. Optional.
client-access-tokens = Access tokens
# $format: of access tokens. $algorithm: of their signature.
client-access-tokens-value = { $format }, signed with { $algorithm }
client-scope-hint = All scope values that the client may request, separated by spaces.
client-audiences = Audiences
client-audiences-hint = One per line. Leave empty for the server’s default audience.
# $audience: the server's.
client-audience-default = { $audience } (default)
client-token-format = Token format
client-signing-algorithm = Signing algorithm
client-other-metadata = Other metadata
client-other-metadata-label = Other client metadata, as a JSON object
client-other-metadata-hint = Members of RFC 7591 and its extensions, such as jwks, jwks_uri, subject_type or require_pushed_authorization_requests.
client-secrets = Secrets
client-secrets-lead = Only hashes are stored. Two secrets can be valid at once while the client switches over.
client-new-secret = New secret
client-no-secret = The client has no secret and cannot authenticate. Create one.
client-secret-expires = Expires
client-secret-expired = Expired
client-secret-expiring = Expiring
client-secret-title = Create a new client secret?
client-secret-create = Create secret
client-secret-consequence = The new secret is shown once. The current one stays valid for a day, so that the client can switch over. Older ones end immediately.
client-warning-no-pkce = This client’s authorization requests need no PKCE. If someone injects a stolen authorization code into the client, nothing detects it (RFC 9700, section 4.5). Set require_pkce to unless_nonce or always as soon as the client can.
client-warning-profile = Every request of this client is refused: its registration contradicts the security profile of this server (TOLLGATE_PROFILE). The command “tollgate client check” says what to change.
client-warning-front-channel = This client receives tokens through the browser (implicit or hybrid response types, which RFC 9700, section 2.1.2, advises against). Move it to the response type code.
client-warning-password-grant = This client sees the passwords of users (password grant, which RFC 9700, section 2.4, forbids). Move it to the authorization code grant.
client-warning-http-redirect = Codes and tokens reach this client in plain text: it has a redirect URI that is http and leads to another machine. For development only.
client-tokens = Tokens
client-revoke-tokens = Revoke all tokens issued so far
client-admin-scope-title = Give the client administrator access?
client-admin-scope = The scope includes tollgate:admin. With this server as its audience, the client can do everything that administrators can: manage clients and users, revoke tokens and rotate keys.
client-disable-title = Disable the client?
client-disable = Disable client
client-disable-consequence = The client gets no more tokens and cannot introspect tokens.
client-disable-revocation = Its tokens and the grants of its users are revoked: edges refuse them immediately. Enabling the client does not restore them.
client-enable-title = Enable the client?
client-enable = Enable client
client-enable-consequence = The client can get tokens again, with its existing secrets and keys. Revoked tokens stay revoked.
# $client: its name.
client-created = Client { $client } created.
client-updated = Client { $client } saved.
client-secret-created = New secret created. The previous one stays valid for a day.
client-refusals = Recent refusals
client-refusals-lead = The last 20 refused requests of this client that this server process has seen since it started.
client-no-refusals = No request was refused.
refusal-time = Time
refusal-request = Endpoint and request ID
refusal-error = Error
refusal-received = Received
refusal-registered = Registered
client-disabled = Client { $client } disabled.
client-enabled = Client { $client } enabled: it may authenticate again.

## Grants that a client may use

grant-client-credentials = Client credentials
grant-client-credentials-hint = A service acts in its own name.
grant-authorization-code = Authorization code
grant-authorization-code-hint = Users sign in with a browser.
grant-refresh-token = Refresh token
grant-refresh-token-hint = Access continues without asking the user again.
grant-device-code = Device code
grant-device-code-hint = Devices and command lines without a browser.
grant-token-exchange = Token exchange
grant-token-exchange-hint = Passes a token on with less access.
grant-jwt-bearer = JWT bearer
grant-jwt-bearer-hint = A JWT of the client or of an issuer that it trusts.
grant-password = Password (legacy)
grant-password-hint = The application asks users for their password. Only for the migration of old applications, and only where TOLLGATE_LEGACY_GRANTS has it.
grant-implicit = Implicit (legacy)
grant-implicit-hint = The application receives tokens through the browser, with the response types in its other metadata. Only for the migration of old applications, and only where TOLLGATE_LEGACY_GRANTS has it.

## Users

users-lead = People who can sign in.
users-search = Username, email or ID
# $search: what was searched for.
users-none-found = No user has “{ $search }” in their username, email or ID.
user-new = New user
user-create = Create user
user-sign-in = Sign-in
user-username-hint = What they sign in with, for example their email address.
user-password-hint = At least 8 characters. Leave empty to generate one, which is shown once.
user-admin-hint = Administrator: can do everything in this console
user-claims = Information for applications
user-full-name = Full name
user-email = Email
user-more = More
user-external-id = External ID
user-external-id-hint = The user’s identifier in the system that manages them.
user-other-claims = Other claims, as a JSON object
user-other-claims-hint = Claims of OpenID Connect Core, such as locale or phone_number.
user-all-claims = All claims
user-id = User ID
user-you = You
user-signs-in-with = Signs in with
user-no-password = Nothing yet: no password is set
user-local-password = A password stored here, as a hash
user-external-directory = The external user directory
user-no-sessions = Not signed in anywhere.
user-grants-lead = All active grants, and those that ended in the last day.
user-no-grants = No application has access.
user-audit-about = Audit log entries about this user
user-audit-by = What this user did
user-set-password = Set password
# $username: whose password.
user-set-password-for = Set a password for { $username }
user-set-password-lead = The user is signed out everywhere, and grants given in a browser end. Offline access and devices keep theirs.
user-make-admin = Make administrator
user-make-admin-title = Make the user an administrator?
user-make-admin-consequence = They can then do everything that you can do here: manage clients and users, revoke tokens and rotate keys.
user-remove-admin = Remove administrator rights
user-remove-admin-title = Remove the user’s administrator rights?
user-remove-admin-consequence = They can no longer use the console. They stay signed in, and their grants stay.
user-disable-title = Disable the user?
user-disable = Disable user
user-disable-consequence = They are signed out everywhere and cannot sign in.
user-disable-revocation = Their grants to applications and devices are revoked: edges refuse the tokens immediately. Enabling the user does not restore them.
user-enable-title = Enable the user?
user-enable = Enable user
user-enable-consequence = They can sign in again. Revoked grants stay revoked: applications ask for consent again.
# $username: whom it is about.
user-created = User { $username } created.
user-updated = User { $username } saved.
user-password-set = { $username } has a new password and is signed out everywhere.
user-disabled = { $username } is disabled.
user-enabled = { $username } can sign in again.
user-is-admin = { $username } is an administrator.
user-is-not-admin = { $username } is no longer an administrator.

## Keys

keys-lead = Keys rotate automatically. Edges and clients learn the next key before it signs.
keys-rotate = Rotate keys
keys-rotate-title = Rotate keys?
# $when: such as “in 2 hours”.
keys-rotate-lead = New keys are published now and sign { $when }. The current keys stay valid until their last token expires. No token is refused.
keys-algorithm = Algorithm
keys-all-algorithms = EdDSA, ES256 and RS256
# $algorithm: such as ES256.
keys-only-algorithm = Only { $algorithm }
keys-rotate-immediately = Sign with the new keys immediately
keys-rotate-immediately-hint = Clients and edges that cache the key set may refuse valid tokens until they refresh it.
keys-key = Key
keys-purpose = Purpose
keys-signs-from = Signs from
keys-last-token = Last token expires
# $algorithm: such as ES256. $key: its identifier.
keys-revoke-key = Revoke { $algorithm } { $key }
keys-show-deleted = Show deleted keys
keys-hide-deleted = Hide deleted keys
keys-purpose-token = Signs tokens
keys-purpose-derive = Derives the HS256 keys of audiences
keys-purpose-secret = Encrypts stored secrets
keys-purpose-snapshot = Signs snapshots for edges
keys-purpose-verify = Verifies tokens of another system
keys-active = Active
keys-upcoming = Upcoming
keys-retiring = Retiring
keys-revoked = Revoked
keys-gone = Deleted
# $keys: algorithms and identifiers.
keys-rotated = New keys published: { $keys }
keys-revoke-title = Revoke the key?
keys-revoke = Revoke key
keys-revoke-consequence = Edges refuse every token that it signed, immediately. Clients must get new tokens.
keys-revoke-replacement = A replacement is created automatically. Use this if the key may be compromised; to replace a key without an incident, rotate keys instead.
# $key: its identifier.
keys-revoked-now = Key { $key } revoked: edges refuse its tokens.
keys-revoked-already = Key { $key } was already revoked.

## Revocations

revocations-lead = What edges refuse although it has not expired.
revocations-kind = Kind
revocations-id = ID
revocations-id-placeholder = the whole ID
revocations-id-hint = The jti or the token itself; the sid, sub, client_id or kid. Not needed for “everything”.
revocations-include-past = Include past revocations
revocations-show-active = Show active only
revocations-none = Nothing is revoked.
revocations-none-found = No revocation matches.
revocations-target = Target
revocations-by = Revoked by
revocations-time = Revoked
# $date: a date and a time.
revocations-before = issued before { $date }
revocations-issued-before = Issued before
revocations-issued-before-hint = In UTC. Only for “everything”.
revocations-lift = Lift
# $kind: such as “token”. $name: its ID.
revocations-lift-name = Lift { $kind } { $name }
revocations-active = Active
revocations-lifted = Lifted
revocations-expired = Expired
revocation-token = One token
revocation-session = A session: what a user granted a client
revocation-subject = A subject: all tokens of a user or service so far
revocation-client = A client: all its tokens so far
revocation-key = A key: everything it signed or will sign
revocation-everything = Everything issued before a time
revocation-token-consequence = This token is refused.
revocation-session-consequence = The session ends: its access tokens and refresh tokens are refused.
revocation-subject-consequence = All tokens of this subject so far are refused, and its grants end. Tokens issued later are valid.
revocation-client-consequence = All tokens of this client so far are refused, and the grants of its users end. It can get new tokens unless you disable it.
revocation-key-consequence = Every token signed with this key is refused, now and in the future.
revocation-everything-consequence = Every token issued before this time is refused: all clients and users must get new ones.
revocation-title = Revoke?
revocation-propagation = Edges refuse it within about a second. The revocation can be lifted.
revocation-created = Revoked: edges are being notified.
revocation-exists = It was already revoked.
revocation-number = Revocation
revocation-lift-title = Lift the revocation?
revocation-lift-consequence = Tokens that it affected are valid again until they expire, unless another revocation affects them. An ended session stays ended: the user must grant access again.
# $number: the revocation's.
revocation-lifted = Revocation { $number } lifted.

## Resource servers

resources-lead = The APIs that tokens are for, and how users read their scope values.
resources-none = None are registered. Tokens do not need one: it describes scope values to users and lets a client introspect tokens.
resources-resource = Resource server
resource-new = New resource server
resource-edit = Edit resource server
resource-create = Create resource server
resource-audience = Audience
# $claim: the claim's name.
resource-audience-hint = The { $claim } of its tokens, usually its URL.
resource-scopes = Scope values
# $example: a line.
resource-scopes-hint = One per line, with its meaning: { $example }
resource-introspection-client = Introspection client
resource-introspection-client-hint = The client ID with which it introspects tokens. Optional.
resource-verifier = Verifier
resource-verifier-none = Settings below
resource-verifier-hint = What checks its tokens. A choice sets algorithm, type and format to what that program accepts without configuration.
resource-as-client = As the client is registered
resource-default = Default
# $member: the name of the header member.
resource-token-type = Type ({ $member })
resource-token-lifetime = Longest lifetime
resource-token-lifetime-hint = Seconds. The shortest of client, resource server and server applies.
resource-token-claims = Claims of the user
# $example: two names.
resource-token-claims-hint = Names separated by spaces, such as { $example }. Its access tokens contain them.
resource-remove-title = Remove the resource server?
resource-remove-consequence = On the consent page users see its scope values without descriptions, and its client can no longer introspect tokens. Tokens stay valid.
# $name: the resource server's.
resource-created = Resource server { $name } created.
resource-updated = Resource server { $name } saved.
resource-removed = Resource server { $name } removed.

## Routes

routes-lead = What edges require of requests. The most specific rule applies: by host, then by path, then by method.
routes-none = There are no rules: every request needs a valid token, with any scope.
route-new = New rule
route-create = Create rule
route-requests = Requests
route-path = Path
# $example: a path.
route-path-hint = Exact, everything below it, or with parameters for one segment each: { $example }
route-methods = Methods
# $example: methods.
route-methods-hint = Separated by spaces, such as { $example }. Leave empty for all.
route-hosts = Hosts
route-requirements = Requirements
route-scope-hint = Scope values that the token must have, all of them. Leave empty for any valid token.
route-public = Public
route-public-hint = Public: no token needed
route-valid-token = A valid token
route-unknown-status = When the edge cannot know the token’s status
route-on-stale = If the replica is stale
route-on-not-covered = If the token is newer than the replica
route-deny = Refuse
route-allow = Allow
route-introspect = Introspect at the origin
route-more = Further requirements and settings
route-more-label = Further members of the rule, as a JSON object
route-more-hint = Such as scope_any, audience, clients, claims, acr, max_age, binding, upstream, max_body_bytes, timeout_ms, rate_limit, streams, cors, headers or token.
route-remove-title = Remove the rule?
route-remove = Remove rule
route-remove-consequence = Edges then use the next matching rule or, without one, require a valid token with any scope.
route-rule = Rule
# $rule: the rule.
route-created = Rule { $rule } created: edges are being notified.
route-removed = Rule { $rule } removed.

## Edges

# $sequence: the number of the newest change.
edges-lead = Edges that changes are pushed to. The newest change is number { $sequence }.
# $command: a command.
edges-none = No edges are registered. Edges that poll need no entry; { $command } registers one to be pushed to and shown here.
edges-edge = Edge
edges-lag = Behind by
edges-acknowledged = Acknowledged
edges-never-seen = Never seen
edges-silent = Silent
edges-current = Up to date
edges-behind = Behind
edges-activity = Requests
edges-activity-lead = Totals since each edge was registered, as the edges report them, with refusals by reason.
# $setting: a setting. $command: a command.
edges-no-reports = No edge has reported its requests. An edge reports if it has { $setting }, which { $command } prints.
edges-passed = Passed
edges-refused = Refused
edges-cache-hits = Cache hits
edges-decided-stale = Decided while stale
edges-streams-open = Open streams
edges-streams-cut = Streams ended
edges-reported = Last report

## Audit log

audit-lead = Who did what, newest first. Entries are never changed or deleted.
audit-export-csv = Export CSV
audit-export-json-lines = Export JSON Lines
audit-time = Time
audit-actor = Actor
audit-action = Action
audit-target = Target
audit-target-kind = Target kind
audit-target-id = Target ID
audit-details = Reason or details
audit-since = From (UTC)
audit-until = Until (UTC)
audit-none = No entries match.
