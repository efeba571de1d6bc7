
### Die Konsole der Administration

## Alle Seiten der Konsole

console-actions = Aktionen
console-active = Aktiv
console-admin-badge = Administrator
console-all = Alle
console-cancel = Abbrechen
console-client = Client
console-created = Erstellt
console-details = Einzelheiten
console-disable = Sperren
console-disabled = Gesperrt
console-edit = Bearbeiten
console-edit-name = { $name } bearbeiten
console-enable = Entsperren
console-filter = Filtern
console-name = Name
console-name-hint = Benutzer sehen ihn auf der Zustimmungsseite.
console-never = Nie
console-none = Keine
console-not-set = Nicht angegeben
console-reason = Grund
console-reason-hint = Steht im Audit-Log. Freiwillig.
console-remove = Entfernen
console-remove-name = { $name } entfernen
console-revoke = Widerrufen
console-save = Speichern
console-scope = Scope
console-status = Status
console-user = Benutzer
console-view-all = Alle anzeigen

## Übersicht

overview-lead = Aktivität der letzten 60 Minuten und Zustand von Edges und Schlüsseln.
overview-refresh = Aktualisieren
overview-http-redirects = Entwicklungseinstellung: Redirect URIs mit http dürfen zu jedem Rechner führen, Codes und Tokens also unverschlüsselt durch das Netz gehen. Schalten Sie TOLLGATE_ALLOW_HTTP_REDIRECTS aus, bevor andere diesen Server benutzen.
overview-hour-ago = vor 60 Min.
overview-issued = Ausgestellte Tokens
overview-refused = Abgelehnte Anfragen
overview-revoked = Widerrufe
overview-chart-issued = { $sum } Tokens in den letzten 60 Minuten ausgestellt, höchstens { $most } in einer Minute.
overview-chart-refused = { $sum } Anfragen in den letzten 60 Minuten abgelehnt, höchstens { $most } in einer Minute.
overview-chart-revoked = { $sum } Widerrufe in den letzten 60 Minuten, höchstens { $most } in einer Minute.
overview-chart-none = Keine in den letzten 60 Minuten.
overview-hashing-queue = Warteschlange der Passwort-Hashes
overview-hashing-queue-used = { $queued } von { $capacity } Plätzen der Warteschlange sind belegt.
overview-hashing-workers = { $working } von { $workers } Threads beschäftigt, { $capacity } Plätze in der Warteschlange
overview-hashing-refused = { $count ->
    [one] ({ $count } seit dem Start abgelehnt)
   *[other] ({ $count } seit dem Start abgelehnt)
}
overview-no-edges = Es sind keine Edges registriert.
overview-refusals = Ablehnungen nach Grund
overview-no-refusals = In den letzten 60 Minuten wurde nichts abgelehnt.
overview-refusal-count = Anzahl
overview-refusal-share = Anteil
overview-refusal-percent = { $percent } Prozent aller
overview-active-keys = Aktive Schlüssel

## Clients

clients-lead = Anwendungen und Dienste, die Tokens anfordern.
clients-search = Name, Herausgeber oder ID
clients-none = Es sind noch keine Clients registriert.
clients-none-found = Kein Client hat „{ $search }“ im Namen, Herausgeber oder in der ID.
client-new = Neuer Client
client-edit = Client bearbeiten
client-edit-title = { $client } bearbeiten
client-create = Client erstellen
client-identity = Identität
client-owner = Herausgeber
client-owner-hint = Benutzer sehen ihn. Freiwillig.
client-id = Client-ID
client-id-hint = Leer lassen für eine zufällige.
client-self-registered = Selbst registriert
client-first-party = Eigene Anwendung
client-first-party-hint = Eigene Anwendung: Benutzer werden nicht um Zustimmung gebeten
client-first-party-yes = Ja: Benutzer werden nicht um Zustimmung gebeten
client-first-party-no = Nein
client-authorization = Autorisierung
client-grants = Grants
client-authentication = Client-Authentifizierung
client-authentication-hint = Wählen Sie { $method } für Anwendungen, die kein Geheimnis bewahren können.
client-rotation = Refresh-Tokens
client-rotation-hint = Gleichbleibende Tokens eignen sich für Clients, die sich authentifizieren. Bei anderen müssen die Tokens an einen DPoP-Schlüssel gebunden sein.
client-rotation-default = Standard
client-rotation-on = Bei jeder Verwendung ein neues
client-rotation-off = Bei jeder Verwendung dasselbe
client-redirect-uris = Redirect-URIs
client-redirect-uris-hint = Eine pro Zeile. Nötig für den Authorization-Code-Grant.
client-logout-uris = Redirect-URIs nach dem Abmelden
client-logout-uris-hint = Eine pro Zeile. Freiwillig.
client-access-tokens = Access-Tokens
client-access-tokens-value = { $format }, signiert mit { $algorithm }
client-scope-hint = Alle Scope-Werte, die der Client anfordern darf, durch Leerzeichen getrennt.
client-audiences = Audiences
client-audiences-hint = Eine pro Zeile. Leer lassen für die Standard-Audience des Servers.
client-audience-default = { $audience } (Standard)
client-token-format = Token-Format
client-signing-algorithm = Signaturalgorithmus
client-other-metadata = Weitere Metadaten
client-other-metadata-label = Weitere Client-Metadaten als JSON-Objekt
client-other-metadata-hint = Angaben aus RFC 7591 und seinen Erweiterungen, etwa jwks, jwks_uri, subject_type oder require_pushed_authorization_requests.
client-secrets = Geheimnisse
client-secrets-lead = Nur Hashes werden gespeichert. Während der Client umstellt, können zwei Geheimnisse zugleich gelten.
client-new-secret = Neues Geheimnis
client-no-secret = Der Client hat kein Geheimnis und kann sich nicht authentifizieren. Erstellen Sie eines.
client-secret-expires = Läuft ab
client-secret-expired = Abgelaufen
client-secret-expiring = Läuft aus
client-secret-title = Neues Client-Geheimnis erstellen?
client-secret-create = Geheimnis erstellen
client-secret-consequence = Das neue Geheimnis wird einmal angezeigt. Das aktuelle gilt noch einen Tag, damit der Client umstellen kann. Ältere enden sofort.
client-warning-no-pkce = Die Autorisierungsanfragen dieses Clients brauchen kein PKCE. Wenn jemand dem Client einen gestohlenen Autorisierungscode unterschiebt, fällt es nicht auf (RFC 9700, Abschnitt 4.5). Setzen Sie require_pkce auf unless_nonce oder always, sobald der Client es kann.
client-warning-profile = Jede Anfrage dieses Clients wird abgelehnt: Seine Registrierung widerspricht dem Sicherheitsprofil dieses Servers (TOLLGATE_PROFILE). Der Befehl „tollgate client check“ sagt, was zu ändern ist.
client-warning-front-channel = Dieser Client erhält Tokens über den Browser (implizite oder hybride Response Types, von denen RFC 9700, Abschnitt 2.1.2, abrät). Stellen Sie ihn auf den Response Type code um.
client-warning-password-grant = Dieser Client sieht die Passwörter der Benutzer (Password Grant, den RFC 9700, Abschnitt 2.4, verbietet). Stellen Sie ihn auf den Authorization Code Grant um.
client-warning-http-redirect = Codes und Tokens erreichen diesen Client unverschlüsselt: Er hat einen Redirect URI mit http, der zu einem anderen Rechner führt. Nur für die Entwicklung.
client-tokens = Tokens
client-revoke-tokens = Alle bisher ausgestellten Tokens widerrufen
client-admin-scope-title = Dem Client Administratorrechte geben?
client-admin-scope = Der Scope enthält tollgate:admin. Mit diesem Server als Audience kann der Client alles, was Administratoren können: Clients und Benutzer verwalten, Tokens widerrufen und Schlüssel rotieren.
client-disable-title = Client sperren?
client-disable = Client sperren
client-disable-consequence = Der Client erhält keine Tokens mehr und kann keine prüfen lassen.
client-disable-revocation = Seine Tokens und die Grants seiner Benutzer werden widerrufen: Edges lehnen sie sofort ab. Das Entsperren stellt sie nicht wieder her.
client-enable-title = Client entsperren?
client-enable = Client entsperren
client-enable-consequence = Der Client kann wieder Tokens erhalten, mit seinen bisherigen Geheimnissen und Schlüsseln. Widerrufene Tokens bleiben widerrufen.
client-created = Client { $client } erstellt.
client-updated = Client { $client } gespeichert.
client-secret-created = Neues Geheimnis erstellt. Das vorige gilt noch einen Tag.
client-refusals = Letzte Ablehnungen
client-refusals-lead = Die letzten 20 abgelehnten Anfragen dieses Clients, die dieser Serverprozess seit seinem Start gesehen hat.
client-no-refusals = Keine Anfrage wurde abgelehnt.
refusal-time = Zeit
refusal-request = Endpunkt und Anfrage-ID
refusal-error = Fehler
refusal-received = Empfangen
refusal-registered = Registriert
client-disabled = Client { $client } gesperrt.
client-enabled = Client { $client } entsperrt: Er darf sich wieder authentifizieren.

## Grants, die ein Client benutzen darf

grant-client-credentials = Client Credentials
grant-client-credentials-hint = Ein Dienst handelt im eigenen Namen.
grant-authorization-code = Authorization Code
grant-authorization-code-hint = Benutzer melden sich mit einem Browser an.
grant-refresh-token = Refresh-Token
grant-refresh-token-hint = Der Zugriff dauert an, ohne erneut zu fragen.
grant-device-code = Device Code
grant-device-code-hint = Geräte und Kommandozeilen ohne Browser.
grant-token-exchange = Token Exchange
grant-token-exchange-hint = Gibt ein Token mit weniger Rechten weiter.
grant-jwt-bearer = JWT Bearer
grant-jwt-bearer-hint = Ein JWT des Clients oder eines Ausstellers, dem er vertraut.
grant-password = Passwort (veraltet)
grant-password-hint = Die Anwendung fragt Benutzer nach ihrem Passwort. Nur für den Umzug alter Anwendungen, und nur, wenn TOLLGATE_LEGACY_GRANTS es enthält.
grant-implicit = Implicit (veraltet)
grant-implicit-hint = Die Anwendung erhält Tokens über den Browser, mit den Response Types in ihren weiteren Metadaten. Nur für den Umzug alter Anwendungen, und nur, wenn TOLLGATE_LEGACY_GRANTS es enthält.

## Benutzer

users-lead = Personen, die sich anmelden können.
users-search = Benutzername, E-Mail-Adresse oder ID
users-none-found = Kein Benutzer hat „{ $search }“ im Benutzernamen, in der E-Mail-Adresse oder in der ID.
user-new = Neuer Benutzer
user-create = Benutzer erstellen
user-sign-in = Anmeldung
user-username-hint = Damit meldet sich der Benutzer an, zum Beispiel die E-Mail-Adresse.
user-password-hint = Mindestens 8 Zeichen. Leer lassen, um eines zu erzeugen, das einmal angezeigt wird.
user-admin-hint = Administrator: darf alles in dieser Konsole
user-claims = Angaben für Anwendungen
user-full-name = Vollständiger Name
user-email = E-Mail-Adresse
user-more = Mehr
user-external-id = Externe ID
user-external-id-hint = Kennung des Benutzers in dem System, das ihn verwaltet.
user-other-claims = Weitere Claims als JSON-Objekt
user-other-claims-hint = Claims aus OpenID Connect Core, etwa locale oder phone_number.
user-all-claims = Alle Claims
user-id = Benutzer-ID
user-you = Sie
user-signs-in-with = Meldet sich an mit
user-no-password = Noch nichts: Es ist kein Passwort gesetzt
user-local-password = Einem Passwort, das hier als Hash gespeichert ist
user-external-directory = Dem externen Benutzerverzeichnis
user-no-sessions = Nirgends angemeldet.
user-grants-lead = Alle aktiven Grants und die am letzten Tag beendeten.
user-no-grants = Keine Anwendung hat Zugriff.
user-audit-about = Einträge zu diesem Benutzer im Audit-Log
user-audit-by = Was dieser Benutzer getan hat
user-set-password = Passwort setzen
user-set-password-for = Passwort für { $username } setzen
user-set-password-lead = Der Benutzer wird überall abgemeldet, und im Browser erteilte Grants enden. Offline-Zugriff und Geräte behalten ihre.
user-make-admin = Zum Administrator machen
user-make-admin-title = Den Benutzer zum Administrator machen?
user-make-admin-consequence = Er kann dann alles, was Sie hier können: Clients und Benutzer verwalten, Tokens widerrufen und Schlüssel rotieren.
user-remove-admin = Administratorrechte entziehen
user-remove-admin-title = Dem Benutzer die Administratorrechte entziehen?
user-remove-admin-consequence = Er kann die Konsole nicht mehr benutzen. Er bleibt angemeldet, und seine Grants bleiben.
user-disable-title = Benutzer sperren?
user-disable = Benutzer sperren
user-disable-consequence = Der Benutzer wird überall abgemeldet und kann sich nicht mehr anmelden.
user-disable-revocation = Seine Grants an Anwendungen und Geräte werden widerrufen: Edges lehnen die Tokens sofort ab. Das Entsperren stellt sie nicht wieder her.
user-enable-title = Benutzer entsperren?
user-enable = Benutzer entsperren
user-enable-consequence = Der Benutzer kann sich wieder anmelden. Widerrufene Grants bleiben widerrufen: Anwendungen bitten erneut um Zustimmung.
user-created = Benutzer { $username } erstellt.
user-updated = Benutzer { $username } gespeichert.
user-password-set = { $username } hat ein neues Passwort und ist überall abgemeldet.
user-disabled = { $username } ist gesperrt.
user-enabled = { $username } kann sich wieder anmelden.
user-is-admin = { $username } ist jetzt Administrator.
user-is-not-admin = { $username } ist kein Administrator mehr.

## Schlüssel

keys-lead = Schlüssel rotieren automatisch. Edges und Clients kennen den nächsten Schlüssel, bevor er signiert.
keys-rotate = Schlüssel rotieren
keys-rotate-title = Schlüssel rotieren?
keys-rotate-lead = Neue Schlüssel werden jetzt veröffentlicht und signieren { $when }. Die aktuellen gelten, bis ihr letztes Token abläuft. Kein Token wird abgelehnt.
keys-algorithm = Algorithmus
keys-all-algorithms = EdDSA, ES256 und RS256
keys-only-algorithm = Nur { $algorithm }
keys-rotate-immediately = Sofort mit den neuen Schlüsseln signieren
keys-rotate-immediately-hint = Clients und Edges, die den Schlüsselsatz zwischenspeichern, lehnen womöglich gültige Tokens ab, bis sie ihn neu laden.
keys-key = Schlüssel
keys-purpose = Zweck
keys-signs-from = Signiert ab
keys-last-token = Letztes Token läuft ab
keys-revoke-key = { $algorithm } { $key } widerrufen
keys-show-deleted = Gelöschte Schlüssel anzeigen
keys-hide-deleted = Gelöschte Schlüssel ausblenden
keys-purpose-token = Signiert Tokens
keys-purpose-derive = Leitet die HS256-Schlüssel der Audiences ab
keys-purpose-secret = Verschlüsselt gespeicherte Geheimnisse
keys-purpose-snapshot = Signiert Snapshots für Edges
keys-purpose-verify = Prüft Tokens eines anderen Systems
keys-active = Aktiv
keys-upcoming = Kommend
keys-retiring = Auslaufend
keys-revoked = Widerrufen
keys-gone = Gelöscht
keys-rotated = Neue Schlüssel veröffentlicht: { $keys }
keys-revoke-title = Schlüssel widerrufen?
keys-revoke = Schlüssel widerrufen
keys-revoke-consequence = Edges lehnen sofort jedes Token ab, das er signiert hat. Clients müssen neue Tokens holen.
keys-revoke-replacement = Ein Ersatz wird automatisch erstellt. Tun Sie dies, wenn der Schlüssel in fremde Hände geraten sein kann; ohne Vorfall rotieren Sie stattdessen die Schlüssel.
keys-revoked-now = Schlüssel { $key } widerrufen: Edges lehnen seine Tokens ab.
keys-revoked-already = Schlüssel { $key } war bereits widerrufen.

## Widerrufe

revocations-lead = Was Edges ablehnen, obwohl es nicht abgelaufen ist.
revocations-kind = Art
revocations-id = ID
revocations-id-placeholder = die ganze ID
revocations-id-hint = Die jti oder das Token selbst; sid, sub, client_id oder kid. Für „alles“ nicht nötig.
revocations-include-past = Auch vergangene
revocations-show-active = Nur aktive anzeigen
revocations-none = Nichts ist widerrufen.
revocations-none-found = Kein Widerruf passt.
revocations-target = Ziel
revocations-by = Widerrufen von
revocations-time = Widerrufen
revocations-before = ausgestellt vor { $date }
revocations-issued-before = Ausgestellt vor
revocations-issued-before-hint = In UTC. Nur für „alles“.
revocations-lift = Aufheben
revocations-lift-name = { $kind } { $name } aufheben
revocations-active = Aktiv
revocations-lifted = Aufgehoben
revocations-expired = Abgelaufen
revocation-token = Ein Token
revocation-session = Eine Sitzung: was ein Benutzer einem Client erlaubt hat
revocation-subject = Ein Subject: alle bisherigen Tokens eines Benutzers oder Dienstes
revocation-client = Ein Client: alle seine bisherigen Tokens
revocation-key = Ein Schlüssel: alles, was er signiert hat oder signieren wird
revocation-everything = Alles, was vor einem Zeitpunkt ausgestellt wurde
revocation-token-consequence = Dieses Token wird abgelehnt.
revocation-session-consequence = Die Sitzung endet: Ihre Access- und Refresh-Tokens werden abgelehnt.
revocation-subject-consequence = Alle bisherigen Tokens dieses Subjects werden abgelehnt, und seine Grants enden. Später ausgestellte Tokens gelten.
revocation-client-consequence = Alle bisherigen Tokens dieses Clients werden abgelehnt, und die Grants seiner Benutzer enden. Er kann neue Tokens holen, wenn Sie ihn nicht sperren.
revocation-key-consequence = Jedes mit diesem Schlüssel signierte Token wird abgelehnt, jetzt und künftig.
revocation-everything-consequence = Jedes vor diesem Zeitpunkt ausgestellte Token wird abgelehnt: Alle Clients und Benutzer müssen neue holen.
revocation-title = Widerrufen?
revocation-propagation = Edges lehnen es binnen etwa einer Sekunde ab. Der Widerruf kann aufgehoben werden.
revocation-created = Widerrufen: Die Edges werden benachrichtigt.
revocation-exists = Es war bereits widerrufen.
revocation-number = Widerruf
revocation-lift-title = Widerruf aufheben?
revocation-lift-consequence = Betroffene Tokens gelten wieder, bis sie ablaufen, falls kein anderer Widerruf sie betrifft. Eine beendete Sitzung bleibt beendet: Der Benutzer muss den Zugriff erneut erlauben.
revocation-lifted = Widerruf { $number } aufgehoben.

## Resource-Server

resources-lead = Die APIs, für die Tokens gelten, und wie Benutzer ihre Scope-Werte lesen.
resources-none = Keine registriert. Tokens brauchen keinen: Er beschreibt den Benutzern die Scope-Werte und erlaubt einem Client die Introspection.
resources-resource = Resource-Server
resource-new = Neuer Resource-Server
resource-edit = Resource-Server bearbeiten
resource-create = Resource-Server erstellen
resource-audience = Audience
resource-audience-hint = Der Claim { $claim } seiner Tokens, meist seine URL.
resource-scopes = Scope-Werte
resource-scopes-hint = Einer pro Zeile, mit seiner Bedeutung: { $example }
resource-introspection-client = Introspection-Client
resource-introspection-client-hint = Die Client-ID, mit der er Tokens prüfen lässt. Freiwillig.
resource-verifier = Prüfendes Programm
resource-verifier-none = Einstellungen unten
resource-verifier-hint = Was seine Tokens prüft. Eine Auswahl setzt Algorithmus, Typ und Format auf das, was dieses Programm ohne Konfiguration annimmt.
resource-as-client = Wie beim Client eingetragen
resource-default = Standard
resource-token-type = Typ ({ $member })
resource-token-lifetime = Längste Gültigkeit
resource-token-lifetime-hint = Sekunden. Es gilt der kürzeste Wert von Client, Resource-Server und Server.
resource-token-claims = Claims des Benutzers
resource-token-claims-hint = Namen, durch Leerzeichen getrennt, etwa { $example }. Seine Access-Tokens enthalten sie.
resource-remove-title = Resource-Server entfernen?
resource-remove-consequence = Auf der Zustimmungsseite stehen seine Scope-Werte dann ohne Beschreibung, und sein Client kann keine Tokens mehr prüfen lassen. Tokens gelten weiter.
resource-created = Resource-Server { $name } erstellt.
resource-updated = Resource-Server { $name } gespeichert.
resource-removed = Resource-Server { $name } entfernt.

## Routen

routes-lead = Was Edges von Anfragen verlangen. Der längste passende Pfad gilt; eine Regel für eine Methode geht einer für alle Methoden vor.
routes-none = Es gibt keine Regeln: Jede Anfrage braucht ein gültiges Token mit beliebigem Scope.
route-new = Neue Regel
route-create = Regel erstellen
route-requests = Anfragen
route-path = Pfad
route-path-hint = Genau, oder alles darunter: { $example }
route-methods = Methoden
route-methods-hint = Durch Leerzeichen getrennt, etwa { $example }. Leer lassen für alle.
route-requirements = Anforderungen
route-scope-hint = Scope-Werte, die das Token haben muss, und zwar alle. Leer lassen für jedes gültige Token.
route-public = Öffentlich
route-public-hint = Öffentlich: kein Token nötig
route-valid-token = Ein gültiges Token
route-unknown-status = Wenn die Edge den Status des Tokens nicht kennen kann
route-on-stale = Bei veralteter Replik
route-on-not-covered = Bei einem Token, das neuer ist als die Replik
route-deny = Ablehnen
route-allow = Erlauben
route-remove-title = Regel entfernen?
route-remove = Regel entfernen
route-remove-consequence = Edges nehmen dann die nächste passende Regel oder verlangen ohne eine solche ein gültiges Token mit beliebigem Scope.
route-rule = Regel
route-created = Regel { $rule } erstellt: Die Edges werden benachrichtigt.
route-removed = Regel { $rule } entfernt.

## Edges

edges-lead = Edges, an die Änderungen gesendet werden. Die neueste Änderung hat die Nummer { $sequence }.
edges-none = Es sind keine Edges registriert. Edges, die selbst abfragen, brauchen keinen Eintrag; { $command } registriert eine, an die gesendet wird und die hier erscheint.
edges-edge = Edge
edges-lag = Rückstand
edges-acknowledged = Bestätigt
edges-never-seen = Nie gesehen
edges-silent = Meldet sich nicht
edges-current = Aktuell
edges-behind = Im Rückstand

## Audit-Log

audit-lead = Wer was getan hat, das Neueste zuerst. Einträge werden nie geändert oder gelöscht.
audit-export-csv = CSV exportieren
audit-export-json-lines = JSON Lines exportieren
audit-time = Zeit
audit-actor = Akteur
audit-action = Aktion
audit-target = Ziel
audit-target-kind = Art des Ziels
audit-target-id = ID des Ziels
audit-details = Grund oder Einzelheiten
audit-since = Von (UTC)
audit-until = Bis (UTC)
audit-none = Keine Einträge passen.
