package mqtt

import (
	"maps"
	"slices"
	"sync"
)

// Memory is a server of messages inside the process. Messages are delivered by the goroutine that publishes them. The
// zero value is ready.
type Memory struct {
	mu   sync.Mutex
	kept map[string]Message // by topic
	subs []*subscription
}

type subscription struct {
	filter string
	mu     sync.Mutex // one message at a time
	f      func(Message)
}

func (s *subscription) deliver(m Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.f(m)
}

// Publish implements Bus. An empty retained message removes the one that was kept.
func (b *Memory) Publish(m Message) error {
	b.mu.Lock()
	if m.Retain {
		if b.kept == nil {
			b.kept = make(map[string]Message)
		}
		b.kept[m.Topic] = m
		if len(m.Payload) == 0 {
			delete(b.kept, m.Topic)
		}
	}
	subs := slices.Clone(b.subs)
	b.mu.Unlock()
	m.Retain = false
	for _, s := range subs {
		if Match(s.filter, m.Topic) {
			s.deliver(m)
		}
	}
	return nil
}

// Subscribe implements Bus.
func (b *Memory) Subscribe(filter string, f func(Message)) error {
	s := &subscription{filter: filter, f: f}
	b.mu.Lock()
	b.subs = append(b.subs, s)
	kept := maps.Clone(b.kept)
	b.mu.Unlock()
	for _, topic := range slices.Sorted(maps.Keys(kept)) {
		if Match(filter, topic) {
			s.deliver(kept[topic])
		}
	}
	return nil
}
