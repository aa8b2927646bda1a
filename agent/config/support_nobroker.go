//go:build nobroker

package config

// BrokerSupport tells whether this binary can talk to a broker. It cannot when it was built with the tag nobroker.
const BrokerSupport = false
