// An API behind passport-jwt with the keys of jwks-rsa (npm), set up as their documentation does. It is called once.
import express from 'express'
import { passportJwtSecret } from 'jwks-rsa'
import passport from 'passport'
import { ExtractJwt, Strategy } from 'passport-jwt'

const { ISSUER, AUDIENCE, TOKEN } = process.env
const settings = {
  secretOrKeyProvider: passportJwtSecret({ cache: true, rateLimit: true, jwksUri: `${ISSUER}/.well-known/jwks.json` }),
  jwtFromRequest: ExtractJwt.fromAuthHeaderAsBearerToken(),
  audience: AUDIENCE,
  issuer: ISSUER,
  algorithms: ['RS256'],
}
passport.use(new Strategy(settings, (claims, done) => done(null, claims)))

const app = express()
app.get('/', passport.authenticate('jwt', { session: false }), (request, response) => response.send(request.user.sub))
const server = app.listen(0, '127.0.0.1', async () => {
  const url = `http://127.0.0.1:${server.address().port}/`
  const response = await fetch(url, { headers: { authorization: `Bearer ${TOKEN}` } })
  console.log(response.status, await response.text())
  process.exit(response.ok ? 0 : 1)
})
