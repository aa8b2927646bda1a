// Package httpc makes single HTTP requests, each over a connection of its own, over TLS where the URL says so.
//
// It takes the place of net/http's client, which links much that a router has no use for. It knows HTTP/1.1 (RFC 9112)
// as far as one request needs it: bodies with a length, in chunks, or up to the end of the connection. It has no
// redirects, no cookies, no proxies, no compression and no connection that is kept.
//
// The server is a stranger: header and body are bounded, and nothing that the server sends ends the process. A panic in
// the TLS handshake, in the check of certificates or in the reading becomes a *PanicError.
//
// With the build tag nobroker the package has its errors only, and links neither TLS nor URLs.
package httpc
