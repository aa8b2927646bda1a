// Package broker asks a wgkex broker for gateways: it registers our public key and checks what comes back.
//
// The protocol is that of freifunkMUC/wgkex: POST /api/v2/wg/key/exchange answers with one gateway, POST
// /api/v1/wg/key/exchange only takes the key, and the caller uses its own list of gateways. Both make the key known to all
// gateways, so that list remains a fallback after v2 as well.
//
// Whatever a broker says is taken for the word of a stranger: each field is checked, sizes and times are bounded, and no
// text of his reaches an error message unfiltered.
//
// With the build tag nobroker the package offers its types only and links neither HTTP nor TLS.
package broker
