// Package mqtt carries the messages of the lab's brokers and workers: over MQTT 3.1.1 to a real server (Client), or
// inside one process where no server can run (Memory).
package mqtt

import "strings"

// Message is one publication.
type Message struct {
	Topic   string
	Payload []byte
	// QoS is 0 (at most once) or 1 (at least once).
	QoS byte
	// Retain asks the server to keep the message for later subscribers. A received message has it set when it was kept.
	Retain bool
}

// Bus is a connection to a server of messages. Both methods may be called from any goroutine.
type Bus interface {
	// Publish sends a message. It does not wait until the message has reached a subscriber.
	Publish(Message) error
	// Subscribe calls f for each message whose topic matches the filter, one after the other, those that the server has
	// kept first. f must not call the bus's Subscribe.
	Subscribe(filter string, f func(Message)) error
}

// Match reports whether a topic matches a filter: "+" stands for one level, "#" at the end for all that follow and for
// none (MQTT 3.1.1, section 4.7).
func Match(filter, topic string) bool {
	want, have := strings.Split(filter, "/"), strings.Split(topic, "/")
	for i, level := range want {
		if level == "#" {
			return i == len(want)-1
		}
		if i >= len(have) || level != "+" && level != have[i] {
			return false
		}
	}
	return len(have) == len(want)
}
