// Package broker asks a server for gateways: it makes our public key known and checks what comes back.
//
// It speaks three protocols. Client is for freifunkMUC/wgkex: POST /api/v2/wg/key/exchange answers with one gateway,
// POST /api/v1/wg/key/exchange only takes the key, and the caller uses its own list of gateways. Both make the key
// known to all gateways, so that list remains a fallback after v2 as well. Parker fetches the signed configuration of
// Freifunk Braunschweig's nodes, which wgkex has too. FFAC registers at Freifunk Aachen's service, which says nothing
// of gateways.
//
// Whatever a broker says is taken for the word of a stranger: each field is checked, sizes and times are bounded, and
// no text of his reaches an error message unfiltered. Nothing of a Parker configuration is read before its signature is
// good.
//
// With the build tag nobroker the package offers its types only and links neither HTTP nor TLS.
package broker
