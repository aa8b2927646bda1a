package parker

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// Fault is a way for a server to go wrong. The zero value is none.
type Fault struct {
	name         string
	serve        func(*exchange)                          // answers instead of the server
	unregistered bool                                     // the server does not know the node, and registers nobody
	edit         func(*Fields)                            // before signing
	sign         func(k SecretKey, message []byte) string // instead of the server's
	body         func(x *exchange, q query, body []byte) []byte
}

// String names the fault, for timelines and test names.
func (f Fault) String() string {
	if f.name == "" {
		return "none"
	}
	return f.name
}

// The faults of this first group refuse the request before the server looks at it.

// Status answers with an error status.
func Status(code int) Fault {
	return Fault{name: fmt.Sprintf("status %d", code), serve: func(x *exchange) { x.error(code, http.StatusText(code)) }}
}

// Body answers 200 with that body.
func Body(name, body string) Fault {
	return Fault{name: name, serve: func(x *exchange) { x.write([]byte(body)) }}
}

// Garbage answers 200 with what is neither JSON nor signed: a portal's page.
func Garbage() Fault { return Body("garbage", "<html><body>Please log in</body></html>\r\n\x00\xff\n") }

// Hangup closes the connection without an answer.
func Hangup() Fault {
	return Fault{name: "connection closed", serve: func(*exchange) { panic(http.ErrAbortHandler) }}
}

// Hang never answers: until the client gives up, or the server is closed.
func Hang() Fault {
	return Fault{name: "silence", serve: func(x *exchange) {
		select {
		case <-x.r.Context().Done():
		case <-x.s.closing:
		}
		panic(http.ErrAbortHandler)
	}}
}

// The faults of this second group do what was asked, and spoil the answer's signature or its bytes.

// Forged signs with a key that is not the server's, under the server's key number.
func Forged() Fault {
	return Fault{name: "forged signature", sign: func(k SecretKey, m []byte) string {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			panic(err) // no randomness: nothing of the lab works
		}
		return SecretKey{Number: k.Number, Key: key}.Sign(m)
	}}
}

// WrongNumber signs with the server's key, under another key number.
func WrongNumber() Fault {
	return Fault{name: "wrong key number", sign: func(k SecretKey, m []byte) string {
		k.Number[0] ^= 1
		return k.Sign(m)
	}}
}

// Unsigned leaves the signature out.
func Unsigned() Fault {
	return Fault{name: "no signature", sign: func(SecretKey, []byte) string { return "" }}
}

// Replayed answers with what the same node got before: rightly signed, with the old nonce. A node that got nothing before
// gets an answer to somebody else's nonce.
func Replayed() Fault {
	return Fault{name: "replayed answer", body: func(x *exchange, q query, body []byte) []byte {
		x.s.mu.Lock()
		old := x.s.answers[q.key]
		x.s.mu.Unlock()
		if old != nil {
			return old
		}
		line, _, _ := bytes.Cut(body, []byte("\n"))
		line = append(bytes.Replace(line, []byte(q.nonce), []byte("00000000000000000000000000000000"), 1), '\n')
		return append(line, x.s.o.Key.Sign(line)...)
	}}
}

// Truncated ends the body after the first half, as if that were all.
func Truncated() Fault {
	return Fault{name: "truncated answer", body: func(_ *exchange, _ query, body []byte) []byte { return body[:len(body)/2] }}
}

// Cut breaks the connection after the first half of the promised body.
func Cut() Fault {
	return Fault{name: "answer cut off", body: func(x *exchange, _ query, body []byte) []byte {
		x.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = x.w.Write(body[:len(body)/2])
		_ = http.NewResponseController(x.w).Flush()
		panic(http.ErrAbortHandler)
	}}
}

// The faults of this third group are signed rightly.

// Edit changes the answer before it is signed.
func Edit(name string, edit func(*Fields)) Fault { return Fault{name: name, edit: edit} }

// ClockOff tells a time that is off by so much.
func ClockOff(off time.Duration) Fault {
	return Edit(fmt.Sprintf("clock off by %v", off), func(f *Fields) {
		now, err := strconv.ParseInt(string(f.Get("time")), 10, 64)
		if err == nil {
			f.Set("time", now+int64(off/time.Second))
		}
	})
}

// Unregistered answers as to a node that is not registered yet, without id and addresses, and does not register it.
func Unregistered() Fault { return Fault{name: "not registered yet", unregistered: true} }

// Huge adds n bytes of an unknown field, so that nothing but its size is wrong with the answer.
func Huge(n int) Fault {
	return Edit(fmt.Sprintf("body of %d bytes", n), func(f *Fields) {
		f.Set("padding", string(bytes.Repeat([]byte("x"), n)))
	})
}

// Shuffled reverses the fields and adds some that nobody knows.
func Shuffled() Fault {
	return Edit("unknown fields", func(f *Fields) {
		f.Set("xyz", map[string]any{"a": []int{1, 2}})
		slices.Reverse(*f)
	})
}
