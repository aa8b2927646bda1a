package wgkex

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/peerselector"
	"wguplink/testbed/mqtt"
)

// Topics and payloads of wgkex/common/mqtt.py. Keys and data go by QoS as in wgkex: keys and counts 0, the rest 1.
const (
	allWorkers   = "all" // in place of a worker's name: a key for all workers of the domain
	topicKeys    = "wireguard/"
	topicMetrics = "wireguard-metrics/"
	topicWorkers = "wireguard-worker/"
	metricPeers  = "connected_peers"

	// Offline is the count of peers that says that a domain is not served any more.
	Offline = -1
)

// KeyFilter is what a worker subscribes to for a domain.
func KeyFilter(domain string) string { return topicKeys + domain + "/+" }

// KeyMessage hands a key to all workers of a domain.
func KeyMessage(domain string, key peerselector.Key) mqtt.Message {
	return mqtt.Message{Topic: topicKeys + domain + "/" + allWorkers, Payload: []byte(key.String())}
}

// ParseKey reads a message of KeyFilter.
func ParseKey(m mqtt.Message) (domain string, key peerselector.Key, err error) {
	levels := strings.Split(m.Topic, "/")
	if len(levels) != 3 || levels[0]+"/" != topicKeys {
		return "", key, fmt.Errorf("topic %q is not %sDOMAIN/WORKER", m.Topic, topicKeys)
	}
	k, err := wgtypes.ParseKey(string(m.Payload))
	if err != nil {
		return "", key, fmt.Errorf("topic %q: %w", m.Topic, err)
	}
	return levels[1], peerselector.Key(k), nil
}

// PeersMessage reports how many nodes are connected to a worker in a domain, or Offline. The server keeps it.
func PeersMessage(domain, worker string, peers int) mqtt.Message {
	m := mqtt.Message{Topic: topicMetrics + domain + "/" + worker + "/" + metricPeers,
		Payload: []byte(strconv.Itoa(peers)), Retain: true}
	if peers == Offline {
		m.QoS = 1
	}
	return m
}

// StatusMessage reports a worker as online or not. The server keeps it; the one for offline is the worker's will.
func StatusMessage(worker string, online bool) mqtt.Message {
	payload := "0"
	if online {
		payload = "1"
	}
	return mqtt.Message{Topic: topicWorkers + worker + "/status", Payload: []byte(payload), QoS: 1, Retain: true}
}

// WorkerData is what nodes need to reach a worker in one domain.
type WorkerData struct {
	ExternalAddress string // host name or IP address
	Port            uint16
	PublicKey       string
	LinkAddress     string // without prefix length
}

// DataMessage publishes a worker's data. The server keeps it.
func DataMessage(domain, worker string, d WorkerData) mqtt.Message {
	payload, _ := json.Marshal(d) // strings and a number
	return mqtt.Message{Topic: topicWorkers + worker + "/" + domain + "/data", Payload: payload, QoS: 1, Retain: true}
}
