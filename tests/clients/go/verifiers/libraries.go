// Package verifiers keeps the libraries in go.mod that the Go programs of docs/verify.md import. The tests take the programs from
// the document.
package verifiers

import (
	_ "github.com/MicahParks/keyfunc/v3"
	_ "github.com/coreos/go-oidc/v3/oidc"
	_ "github.com/golang-jwt/jwt/v5"
)
