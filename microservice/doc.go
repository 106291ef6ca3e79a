// Package microservice serves microservices over HTTP: they ask for a token with the name and the password of a user, and go on with
// the token alone.
package microservice
