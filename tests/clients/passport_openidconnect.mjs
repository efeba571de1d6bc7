// passport-openidconnect (npm), set up as its documentation does. It sends neither a nonce nor PKCE, and has no setting for PKCE.
import express from 'express'
import session from 'express-session'
import passport from 'passport'
import OpenIDConnectStrategy from 'passport-openidconnect'

const { ISSUER, CLIENT_ID, CLIENT_SECRET, PORT } = process.env
const metadata = await (await fetch(`${ISSUER}/.well-known/openid-configuration`)).json()
const settings = {
  issuer: ISSUER,
  authorizationURL: metadata.authorization_endpoint,
  tokenURL: metadata.token_endpoint,
  userInfoURL: metadata.userinfo_endpoint,
  clientID: CLIENT_ID,
  clientSecret: CLIENT_SECRET,
  callbackURL: `http://127.0.0.1:${PORT}/oauth2/redirect`,
  scope: ['profile'],
}
passport.use(new OpenIDConnectStrategy(settings, (issuer, profile, done) => done(null, profile)))
passport.serializeUser((user, done) => done(null, user))
passport.deserializeUser((user, done) => done(null, user))

const app = express()
app.use(session({ secret: 'of the test', resave: false, saveUninitialized: false }))
app.use(passport.authenticate('session'))
app.get('/login', passport.authenticate('openidconnect'))
app.get('/oauth2/redirect', passport.authenticate('openidconnect', { successRedirect: '/', failWithError: true }))
app.get('/', (request, response) => {
  if (!request.user) return response.redirect('/login')
  response.type('text').send(`passport-openidconnect × login, ID token × ${request.user.displayName}`)
})
app.listen(PORT, '127.0.0.1')
