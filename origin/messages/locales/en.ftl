### English, the language that every other one falls back to.
###
### Each message is plain text: pages escape it, so HTML has no effect. Values such as { $client } are
### inserted by the pages, isolated from the text around them, so that a name in another script does not
### disturb the sentence. A comment before a message names its values.

## All pages

skip-to-content = Skip to content
account-navigation = Account
account-sessions = Sessions
account-password = Password
account-devices = Devices
account-console = Console
# $username: who is signed in. Read to screen reader users in place of the bare name.
account-signed-in-as = Your account, signed in as { $username }
# $username: who is signed in.
signed-in-as = You are signed in as { $username }.
sign-in = Sign in
sign-out = Sign out
unknown = Unknown
first-page = First page
next-page = Next page
stale-form = This page was out of date, so nothing was changed. Try again. If you keep seeing this message, your browser blocks cookies from this site.

## Signing in

# $client: the application that asked for the sign-in.
login-continue-to = Continue to { $client }
# $code: what the device shows.
login-connect-device = Connect the device with the code { $code }
login-failed = Wrong username or password.
login-no-account = Don’t have an account?
username = Username
password = Password
create-account = Create an account

## Creating an account

register-submit = Create account
register-have-account = Already have an account?
register-username-hint = The name you sign in with, for example your email address.
register-closed = Accounts are created by an administrator. Ask yours for one.
register-username-taken = This username is taken. Choose another.
register-username-invalid = Use 1 to 255 visible characters.
password-repeat = Repeat password
password-hint = At least 8 characters. A few random words are easy to remember.
password-length = Use 8 to 256 characters.
password-is-username = The password must differ from the username.
passwords-differ = The passwords do not match.

## Consent

# $client: the application.
consent-title = Allow { $client }?
# $owner: who publishes the application.
consent-publisher = Published by { $owner }.
consent-publisher-unknown = The publisher of this application is unknown.
consent-policy = Privacy policy
consent-terms = Terms of service
# $client: the application. A list of permissions follows.
consent-permissions = { $client } wants to:
consent-details = Details:
consent-allow = Allow
consent-deny = Deny
# $host: the site of the application.
consent-afterwards = Whatever you decide, you return to { $host }. You can revoke access at any time under Sessions.

# The page that sends the browser back to an application. $client: the application.
form-post-title = Continue to { $client }
form-post-lead = You are on your way back to the application. If nothing happens, select Continue.
form-post-continue = Continue

## What an application may do

scope-openid = Know who you are
scope-profile = See your name and profile
scope-email = See your email address
scope-address = See your postal address
scope-phone = See your phone number
scope-groups = See the groups you belong to
scope-offline-access = Keep this access while you are away
scope-none = Sign you in

## Connecting a device

device-title = Connect a device
device-enter-code = Enter the code that your device shows.
device-code = Code
device-continue = Continue
device-code-invalid = This code is wrong or has expired.
device-compare-code = Check that the device shows this code:
device-name = Device
device-requested = Requested
device-warning = Continue only if you have this device with you and started this yourself. The device chose its own name.
device-connected-title = Device connected
device-connected = You can close this page and continue on the device.
device-denied-title = Device denied
device-denied = The device gets no access. You can close this page.
device-connect-another = Connect another device

## Sessions

sessions-lead = Where you are signed in, and which applications have access to your account. End what you do not recognize: it loses access immediately.
sessions-browsers = Browsers
sessions-sign-out-others = Sign out all other browsers
sessions-browser = Browser
sessions-this-browser = This browser
sessions-signed-in = Signed in
sessions-last-seen = Last seen
sessions-expires = Expires
sessions-action = Action
ip-address = IP address
# $browser: such as “Firefox on Linux”. $since: such as “3 days ago”.
sessions-sign-out-browser = Sign out { $browser }, signed in { $since }
sessions-applications = Applications and devices
sessions-application = Application
sessions-permissions = Permissions
sessions-granted = Granted
sessions-last-used = Last used
sessions-status = Status
sessions-active = Active
sessions-ended = Ended
# $when: such as “in 3 days”.
sessions-active-until = expires { $when }
# $device: the name of the device that has access.
sessions-on-device = on { $device }
sessions-none = No application has access to your account.
sessions-revoke = Revoke
sessions-revoke-all = Revoke all
# $client: the application. $since: such as “3 days ago”.
sessions-revoke-application = Revoke { $client }, granted { $since }
sessions-done-one = The session has ended. Its access is refused from now on.
sessions-done-others = All other browsers are signed out.
sessions-done-all = No application or device has access any more.

## Changing the password

password-lead = Changing your password signs out all your other browsers. Applications keep their access.
password-current = Current password
password-new = New password
password-new-repeat = Repeat new password
password-submit = Change password
password-changed = Your password is changed, and all other browsers are signed out.
password-managed-elsewhere = Your password is managed elsewhere. Change it where you got your account.
password-current-missing = Enter your current password.
password-current-wrong = This is not your current password.
password-not-new = The new password must differ from the current one.

## Signing out

logout-title = Sign out?
logout-lead = You are also signed out of the applications that you signed in to from this browser.
logout-done-title = Signed out
logout-done = You are signed out of this browser.
logout-sign-in-again = Sign in again

## Errors

error-title = Something went wrong
error-forbidden-title = Access denied
error-not-found-title = Not found
error-unavailable-title = Temporarily unavailable
error-too-many-attempts-title = Too many attempts
error-go-to-account = Go to your account
home-lead = This server signs people in to applications and issues access tokens.
home-issuer = Issuer:
home-metadata = Metadata for applications
error-request-expired = This sign-in has expired. Go back to the application and try again.
error-undecided = Choose one of the two.
error-internal = Something went wrong on the server. Try again in a moment.
error-too-many-attempts = Too many attempts. Wait a few minutes, then try again.
# $count: how long to wait.
error-too-many-attempts-seconds = { $count ->
    [one] Too many attempts. Wait { $count } second, then try again.
   *[other] Too many attempts. Wait { $count } seconds, then try again.
}
# $count: how long to wait.
error-too-many-attempts-minutes = { $count ->
    [one] Too many attempts. Wait { $count } minute, then try again.
   *[other] Too many attempts. Wait { $count } minutes, then try again.
}
error-busy = Too many people are signing in right now. Try again in a second.
error-form-malformed = The form could not be read. Try again.
error-address-malformed = This address is not valid.
# A technical description in English follows.
error-application = The application sent a request that cannot be used. Go back to it and try again. If the error persists, contact its publisher.
error-request-id = Request ID, for support:
# A link that takes the error to the application. $host: its host.
error-return-to-host = Return to { $host }
error-password-changed = Your password was changed during the sign-in. Sign in again.
error-users-unavailable = Passwords cannot be checked at the moment. Try again in a few minutes.
error-username-conflict = Your password is correct, but another account already has this username. Ask an administrator to rename one of the two.
error-administrators-only = The console is for administrators. Your account is not an administrator’s.
error-no-such-page = This page does not exist.
error-no-such-session = This session does not exist.

## Times

time-now = now
# $count: minutes, hours or days.
time-minutes-ago = { $count ->
    [one] { $count } minute ago
   *[other] { $count } minutes ago
}
time-hours-ago = { $count ->
    [one] { $count } hour ago
   *[other] { $count } hours ago
}
time-days-ago = { $count ->
    [one] { $count } day ago
   *[other] { $count } days ago
}
time-in-minutes = { $count ->
    [one] in { $count } minute
   *[other] in { $count } minutes
}
time-in-hours = { $count ->
    [one] in { $count } hour
   *[other] in { $count } hours
}
time-in-days = { $count ->
    [one] in { $count } day
   *[other] in { $count } days
}
# A date and a time of day. $day: 1 to 31. $month: 1 to 12. $year: such as 2026. $time: such as 08:15.
time-date = { $day } { $month ->
    [1] Jan
    [2] Feb
    [3] Mar
    [4] Apr
    [5] May
    [6] Jun
    [7] Jul
    [8] Aug
    [9] Sep
    [10] Oct
    [11] Nov
   *[12] Dec
} { $year }, { $time } UTC

## Browsers and programs

# $browser: such as Firefox. $system: such as Linux.
sender-browser = { $browser } on { $system }
sender-unknown = Unknown program

## The administrators' console

console-navigation = Console
console-overview = Overview
console-clients = Clients
console-users = Users
console-keys = Keys
console-revocations = Revocations
console-resource-servers = Resource servers
console-routes = Routes
console-edges = Edges
console-audit-log = Audit log
console-search = Search
console-show-all = Show all
console-pages = Pages
console-shown-once = Copy it now. It is shown only once: the server stores only its hash.
