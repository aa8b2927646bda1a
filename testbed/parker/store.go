package parker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// Store keeps keys and values, as etcd does. Its methods may be called from any goroutine.
type Store interface {
	// List gives all keys that begin with prefix, with their values.
	List(ctx context.Context, prefix string) (map[string]string, error)
	// Put sets keys, all at once.
	Put(ctx context.Context, values map[string]string) error
	// Delete removes all keys that begin with prefix.
	Delete(ctx context.Context, prefix string) error
	// Swap does what Put does if key has the value old, or does not exist and old is "", and says whether it did. It
	// has the new values seen by all, or none of them.
	Swap(ctx context.Context, key, old string, values map[string]string) (bool, error)
	// Watch sends when something below prefix may have changed since the last time, and once at the beginning. The
	// channel is closed after the end of ctx.
	Watch(ctx context.Context, prefix string) <-chan struct{}
}

// checkSwap refuses what is no lock: what Swap puts has to include the key that it compares.
func checkSwap(key string, values map[string]string) error {
	if _, ok := values[key]; !ok {
		return fmt.Errorf("swap of %s: it is not among the new values", key)
	}
	return nil
}

// FileStore is a Store in one JSON file. One process uses it at a time.
type FileStore struct {
	path string

	mu       sync.Mutex
	values   map[string]string
	watchers map[chan struct{}]string // prefixes
}

// OpenFile reads the store's file; there need not be one yet.
func OpenFile(path string) (*FileStore, error) {
	s := &FileStore{path: path, values: make(map[string]string), watchers: make(map[chan struct{}]string)}
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return s, nil
	case err != nil:
		return nil, fmt.Errorf("node store: %w", err)
	}
	if err := json.Unmarshal(b, &s.values); err != nil {
		return nil, fmt.Errorf("node store %s: %w; delete it to begin anew", path, err)
	}
	return s, nil
}

// List implements Store.
func (s *FileStore) List(_ context.Context, prefix string) (map[string]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := make(map[string]string)
	for k, v := range s.values {
		if strings.HasPrefix(k, prefix) {
			found[k] = v
		}
	}
	return found, nil
}

// Put implements Store.
func (s *FileStore) Put(_ context.Context, values map[string]string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.put(values)
}

// Delete implements Store.
func (s *FileStore) Delete(_ context.Context, prefix string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := maps.Clone(s.values)
	maps.DeleteFunc(next, func(k, _ string) bool { return strings.HasPrefix(k, prefix) })
	return s.become(next)
}

// Swap implements Store.
func (s *FileStore) Swap(_ context.Context, key, old string, values map[string]string) (bool, error) {
	if err := checkSwap(key, values); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok := s.values[key]; v != old || ok != (old != "") {
		return false, nil
	}
	return true, s.put(values)
}

// Watch implements Store.
func (s *FileStore) Watch(ctx context.Context, prefix string) <-chan struct{} {
	ch := make(chan struct{}, 1)
	ch <- struct{}{}
	s.mu.Lock()
	s.watchers[ch] = prefix
	s.mu.Unlock()
	context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers, ch)
		close(ch)
	})
	return ch
}

func (s *FileStore) put(values map[string]string) error {
	next := maps.Clone(s.values)
	maps.Copy(next, values)
	return s.become(next)
}

// become writes the file, then lets the watchers know. The caller holds mu.
func (s *FileStore) become(next map[string]string) error {
	b, err := json.MarshalIndent(next, "", "\t")
	if err != nil {
		return fmt.Errorf("node store: %w", err)
	}
	tmp := filepath.Join(filepath.Dir(s.path), ".new-"+filepath.Base(s.path))
	if err := os.WriteFile(tmp, append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("node store: %w", err)
	}
	if err := os.Rename(tmp, s.path); err != nil {
		return fmt.Errorf("node store: %w", err)
	}
	before := s.values
	s.values = next
	for ch, prefix := range s.watchers {
		if differ(before, next, prefix) {
			signal(ch)
		}
	}
	return nil
}

func differ(a, b map[string]string, prefix string) bool {
	for _, pair := range [][2]map[string]string{{a, b}, {b, a}} {
		for k, v := range pair[0] {
			if w, ok := pair[1][k]; strings.HasPrefix(k, prefix) && (!ok || v != w) {
				return true
			}
		}
	}
	return false
}

// signal makes sure that a channel with room for one has one in it.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
