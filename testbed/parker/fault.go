package parker

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"

	"wguplink/testbed/httpfault"
)

// spoilt is what the server's own faults do.
type spoilt struct {
	unregistered bool                                     // the server does not know the node, and registers none
	edit         func(*Fields)                            // before signing
	sign         func(k SecretKey, message []byte) string // instead of the server's
	body         func(s *Server, q query, body []byte) []byte
}

// spoiltBy gives what a fault does here: nothing when it is not one of these.
func spoiltBy(f httpfault.Fault) spoilt {
	own, _ := f.Own().(spoilt)
	return own
}

// Garbage answers 200 with what is neither JSON nor signed: a portal's page.
func Garbage() httpfault.Fault {
	return httpfault.Body("text/plain; charset=utf-8", "<html><body>Please log in</body></html>\r\n\x00\xff\n")
}

// The faults of this first group do what was asked, and spoil the answer's signature.

// Forged signs with a key that is not the server's, under the server's key number.
func Forged() httpfault.Fault {
	return httpfault.Own("forged signature", spoilt{sign: func(k SecretKey, m []byte) string {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			panic(err) // no randomness: nothing of the lab works
		}
		return SecretKey{Number: k.Number, Key: key}.Sign(m)
	}})
}

// WrongNumber signs with the server's key, under another key number.
func WrongNumber() httpfault.Fault {
	return httpfault.Own("wrong key number", spoilt{sign: func(k SecretKey, m []byte) string {
		k.Number[0] ^= 1
		return k.Sign(m)
	}})
}

// Replayed answers with what the same node got before: rightly signed, with the old nonce. A node that got nothing
// before gets an answer to another node's nonce.
func Replayed() httpfault.Fault {
	return httpfault.Own("replayed answer", spoilt{body: func(s *Server, q query, body []byte) []byte {
		s.mu.Lock()
		old := s.answers[q.key]
		s.mu.Unlock()
		if old != nil {
			return old
		}
		line, _, _ := bytes.Cut(body, []byte("\n"))
		line = append(bytes.Replace(line, []byte(q.nonce), []byte("00000000000000000000000000000000"), 1), '\n')
		return append(line, s.o.Key.Sign(line)...)
	}})
}

// The faults of this second group are signed rightly.

// Edit changes the answer before it is signed.
func Edit(name string, edit func(*Fields)) httpfault.Fault {
	return httpfault.Own(name, spoilt{edit: edit})
}

// Unregistered answers as to a node that is not registered yet, without id and addresses, and does not register it.
func Unregistered() httpfault.Fault {
	return httpfault.Own("not registered yet", spoilt{unregistered: true})
}

// Huge adds n bytes of an unknown field, so that nothing but its size is wrong with the answer.
func Huge(n int) httpfault.Fault {
	return Edit(fmt.Sprintf("body of %d bytes", n), func(f *Fields) {
		f.Set("padding", string(bytes.Repeat([]byte("x"), n)))
	})
}
