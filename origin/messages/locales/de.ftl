### Deutsch. Wer angesprochen wird, wird gesiezt.

## Alle Seiten

skip-to-content = Zum Inhalt springen
account-navigation = Konto
account-sessions = Sitzungen
account-password = Passwort
account-devices = Geräte
account-console = Konsole
account-signed-in-as = Ihr Konto, angemeldet als { $username }
signed-in-as = Sie sind als { $username } angemeldet.
sign-in = Anmelden
sign-out = Abmelden
unknown = Unbekannt
first-page = Erste Seite
next-page = Nächste Seite
stale-form = Diese Seite war veraltet, deshalb wurde nichts geändert. Versuchen Sie es noch einmal. Wenn Sie diese Meldung immer wieder sehen, blockiert Ihr Browser die Cookies dieser Website.

## Anmelden

login-continue-to = Weiter zu { $client }
login-connect-device = Gerät mit dem Code { $code } verbinden
login-failed = Benutzername oder Passwort ist falsch.
login-no-account = Noch kein Konto?
username = Benutzername
password = Passwort
create-account = Konto erstellen

## Konto erstellen

register-submit = Konto erstellen
register-have-account = Sie haben schon ein Konto?
register-username-hint = Damit melden Sie sich an, zum Beispiel Ihre E-Mail-Adresse.
register-closed = Konten legt die Administration an. Fragen Sie dort nach.
register-username-taken = Dieser Benutzername ist vergeben. Wählen Sie einen anderen.
register-username-invalid = Verwenden Sie 1 bis 255 sichtbare Zeichen.
password-repeat = Passwort wiederholen
password-hint = Mindestens 8 Zeichen. Einige zufällige Wörter sind leicht zu merken.
password-length = Verwenden Sie 8 bis 256 Zeichen.
password-is-username = Das Passwort muss sich vom Benutzernamen unterscheiden.
passwords-differ = Die Passwörter stimmen nicht überein.

## Zustimmung

consent-title = { $client } Zugriff erlauben?
consent-publisher = Herausgegeben von { $owner }.
consent-publisher-unknown = Der Herausgeber dieser Anwendung ist unbekannt.
consent-policy = Datenschutzerklärung
consent-terms = Nutzungsbedingungen
consent-permissions = { $client } möchte:
consent-details = Einzelheiten:
consent-allow = Erlauben
consent-deny = Ablehnen
consent-afterwards = Wie Sie auch entscheiden, Sie kehren zu { $host } zurück. Den Zugriff können Sie jederzeit unter „Sitzungen“ widerrufen.
form-post-title = Weiter zu { $client }
form-post-lead = Sie werden zur Anwendung zurückgeleitet. Wenn nichts geschieht, wählen Sie „Weiter“.
form-post-continue = Weiter

## Was eine Anwendung darf

scope-openid = Wissen, wer Sie sind
scope-profile = Ihren Namen und Ihr Profil sehen
scope-email = Ihre E-Mail-Adresse sehen
scope-address = Ihre Postanschrift sehen
scope-phone = Ihre Telefonnummer sehen
scope-groups = Ihre Gruppen sehen
scope-offline-access = Diesen Zugriff behalten, wenn Sie nicht da sind
scope-none = Sie anmelden

## Gerät verbinden

device-title = Gerät verbinden
device-enter-code = Geben Sie den Code ein, den Ihr Gerät anzeigt.
device-code = Code
device-continue = Weiter
device-code-invalid = Dieser Code ist falsch oder abgelaufen.
device-compare-code = Prüfen Sie, ob das Gerät diesen Code anzeigt:
device-name = Gerät
device-requested = Angefragt
device-warning = Fahren Sie nur fort, wenn Sie dieses Gerät vor sich haben und den Vorgang selbst begonnen haben. Den Namen hat das Gerät selbst gewählt.
device-connected-title = Gerät verbunden
device-connected = Sie können diese Seite schließen und am Gerät weitermachen.
device-denied-title = Gerät abgelehnt
device-denied = Das Gerät erhält keinen Zugriff. Sie können diese Seite schließen.
device-connect-another = Weiteres Gerät verbinden

## Sitzungen

sessions-lead = Wo Sie angemeldet sind und welche Anwendungen auf Ihr Konto zugreifen. Beenden Sie, was Sie nicht kennen: Der Zugriff endet sofort.
sessions-browsers = Browser
sessions-sign-out-others = Alle anderen Browser abmelden
sessions-browser = Browser
sessions-this-browser = Dieser Browser
sessions-signed-in = Angemeldet
sessions-last-seen = Zuletzt gesehen
sessions-expires = Läuft ab
sessions-action = Aktion
ip-address = IP-Adresse
sessions-sign-out-browser = Abmelden: { $browser }, angemeldet { $since }
sessions-applications = Anwendungen und Geräte
sessions-application = Anwendung
sessions-permissions = Berechtigungen
sessions-granted = Erlaubt
sessions-last-used = Zuletzt benutzt
sessions-status = Status
sessions-active = Aktiv
sessions-ended = Beendet
sessions-active-until = läuft { $when } ab
sessions-on-device = auf { $device }
sessions-none = Keine Anwendung hat Zugriff auf Ihr Konto.
sessions-revoke = Widerrufen
sessions-revoke-all = Alle widerrufen
sessions-revoke-application = Widerrufen: { $client }, erlaubt { $since }
sessions-done-one = Die Sitzung ist beendet. Ihr Zugriff wird ab jetzt abgelehnt.
sessions-done-others = Alle anderen Browser sind abgemeldet.
sessions-done-all = Keine Anwendung und kein Gerät hat mehr Zugriff.

## Passwort ändern

password-lead = Wenn Sie Ihr Passwort ändern, werden alle anderen Browser abgemeldet. Anwendungen behalten ihren Zugriff.
password-current = Aktuelles Passwort
password-new = Neues Passwort
password-new-repeat = Neues Passwort wiederholen
password-submit = Passwort ändern
password-changed = Ihr Passwort ist geändert, und alle anderen Browser sind abgemeldet.
password-managed-elsewhere = Ihr Passwort wird anderswo verwaltet. Ändern Sie es dort, wo Sie Ihr Konto erhalten haben.
password-current-missing = Geben Sie Ihr aktuelles Passwort ein.
password-current-wrong = Das ist nicht Ihr aktuelles Passwort.
password-not-new = Das neue Passwort muss sich vom aktuellen unterscheiden.

## Abmelden

logout-title = Abmelden?
logout-lead = Sie werden auch bei den Anwendungen abgemeldet, bei denen Sie sich mit diesem Browser angemeldet haben.
logout-done-title = Abgemeldet
logout-done = Sie sind in diesem Browser abgemeldet.
logout-sign-in-again = Wieder anmelden

## Fehler

error-title = Etwas ist schiefgegangen
error-forbidden-title = Zugriff verweigert
error-not-found-title = Nicht gefunden
error-unavailable-title = Vorübergehend nicht verfügbar
error-too-many-attempts-title = Zu viele Versuche
error-go-to-account = Zu Ihrem Konto
home-lead = Dieser Server meldet Personen bei Anwendungen an und stellt Access-Tokens aus.
home-issuer = Issuer:
home-metadata = Metadaten für Anwendungen
error-request-expired = Diese Anmeldung ist abgelaufen. Gehen Sie zur Anwendung zurück und versuchen Sie es noch einmal.
error-undecided = Wählen Sie eines von beiden.
error-internal = Auf dem Server ist etwas schiefgegangen. Versuchen Sie es gleich noch einmal.
error-too-many-attempts = Zu viele Versuche. Warten Sie einige Minuten und versuchen Sie es dann noch einmal.
error-too-many-attempts-seconds = { $count ->
    [one] Zu viele Versuche. Warten Sie { $count } Sekunde und versuchen Sie es dann noch einmal.
   *[other] Zu viele Versuche. Warten Sie { $count } Sekunden und versuchen Sie es dann noch einmal.
}
error-too-many-attempts-minutes = { $count ->
    [one] Zu viele Versuche. Warten Sie { $count } Minute und versuchen Sie es dann noch einmal.
   *[other] Zu viele Versuche. Warten Sie { $count } Minuten und versuchen Sie es dann noch einmal.
}
error-busy = Im Moment melden sich zu viele Personen an. Versuchen Sie es in einer Sekunde noch einmal.
error-form-malformed = Das Formular konnte nicht gelesen werden. Versuchen Sie es noch einmal.
error-address-malformed = Diese Adresse ist ungültig.
error-application = Die Anwendung hat eine Anfrage geschickt, die nicht verwendet werden kann. Gehen Sie zu ihr zurück und versuchen Sie es noch einmal. Bleibt der Fehler bestehen, wenden Sie sich an ihren Herausgeber.
error-request-id = Anfrage-ID für den Support:
error-return-to-host = Zurück zu { $host }
error-password-changed = Ihr Passwort wurde während der Anmeldung geändert. Melden Sie sich noch einmal an.
error-users-unavailable = Passwörter können im Moment nicht geprüft werden. Versuchen Sie es in einigen Minuten noch einmal.
error-username-conflict = Ihr Passwort stimmt, aber ein anderes Konto hat bereits diesen Benutzernamen. Bitten Sie die Administration, eines der beiden umzubenennen.
error-administrators-only = Die Konsole ist Administratoren vorbehalten. Ihr Konto gehört nicht dazu.
error-no-such-page = Diese Seite gibt es nicht.
error-no-such-session = Diese Sitzung gibt es nicht.

## Zeiten

time-now = jetzt
time-minutes-ago = { $count ->
    [one] vor { $count } Minute
   *[other] vor { $count } Minuten
}
time-hours-ago = { $count ->
    [one] vor { $count } Stunde
   *[other] vor { $count } Stunden
}
time-days-ago = { $count ->
    [one] vor { $count } Tag
   *[other] vor { $count } Tagen
}
time-in-minutes = { $count ->
    [one] in { $count } Minute
   *[other] in { $count } Minuten
}
time-in-hours = { $count ->
    [one] in { $count } Stunde
   *[other] in { $count } Stunden
}
time-in-days = { $count ->
    [one] in { $count } Tag
   *[other] in { $count } Tagen
}
time-date = { $day }. { $month ->
    [1] Januar
    [2] Februar
    [3] März
    [4] April
    [5] Mai
    [6] Juni
    [7] Juli
    [8] August
    [9] September
    [10] Oktober
    [11] November
   *[12] Dezember
} { $year }, { $time } UTC

## Browser und Programme

sender-browser = { $browser } unter { $system }
sender-unknown = Unbekanntes Programm

## Die Konsole der Administration

console-navigation = Konsole
console-overview = Übersicht
console-clients = Clients
console-users = Benutzer
console-keys = Schlüssel
console-revocations = Widerrufe
console-resource-servers = Resource-Server
console-routes = Routen
console-edges = Edges
console-audit-log = Audit-Log
console-search = Suchen
console-show-all = Alle anzeigen
console-pages = Seiten
console-shown-once = Kopieren Sie es jetzt. Es wird nur einmal angezeigt: Der Server speichert nur den Hash.
