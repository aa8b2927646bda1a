// Package broker asks a server for gateways: it makes our public key known and checks what comes back.
//
// It speaks three protocols. Client is for freifunkMUC/wgkex: POST /api/v2/wg/key/exchange answers with one gateway,
// POST /api/v1/wg/key/exchange only takes the key, and the caller uses its own list of gateways. Both make the key
// known to all gateways, so that list remains a fallback after v2 as well. Parker fetches the signed configuration of
// Freifunk Braunschweig's nodes, which wgkex has too. FFAC registers at Freifunk Aachen's service, which names no
// gateways.
//
// A broker's answer is not trusted: each field is checked, sizes and times are bounded, and its text is filtered before
// it reaches an error message. A Parker configuration is read only after its signature has been checked.
//
// With the build tag nobroker the package offers its types only and links neither HTTP nor TLS.
package broker
