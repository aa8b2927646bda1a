//go:build go1.25

package lowmem

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// pages notes which pages of a program are read.
type pages struct {
	io.ReaderAt
	read map[int64]bool
}

func (p pages) ReadAt(b []byte, at int64) (int, error) {
	p.read[at/smallestPage] = true
	return p.ReaderAt.ReadAt(b, at)
}

var errDisk = errors.New("disk")

type broken struct{}

func (broken) ReadAt([]byte, int64) (int, error) { return 0, errDisk }

func TestTouch(t *testing.T) {
	for _, size := range []int{0, 1, smallestPage, smallestPage + 1, 5*smallestPage - 1} {
		p := pages{bytes.NewReader(make([]byte, size)), map[int64]bool{}}
		if err := touch(p); err != nil {
			t.Fatal(err)
		}
		for page := range (size + smallestPage - 1) / smallestPage {
			if !p.read[int64(page)] {
				t.Errorf("%d bytes: page %d is not read", size, page)
			}
		}
	}
	if err := touch(broken{}); !errors.Is(err, errDisk) {
		t.Errorf("got %v, want %v", err, errDisk)
	}
	if err := Fetch(); err != nil {
		t.Error(err)
	}
}

// However often it is asked, one runs at a time, and the next not before the pause is over.
func TestFetcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun, failed := 0, 0
		end := make(chan error)
		f := Fetcher{
			Fetch:  func() error { begun++; return <-end },
			Failed: func(error) { failed++ },
		}
		ask := func(what string, want int) {
			t.Helper()
			f.Want(time.Now())
			synctest.Wait()
			if begun != want {
				t.Errorf("%s: fetched %d times, want %d", what, begun, want)
			}
		}
		ask("the first time", 1)
		ask("while it is under way", 1)
		time.Sleep(2 * FetchPause)
		ask("while it is still under way", 1)
		end <- nil
		synctest.Wait()
		ask("when it has ended", 2)
		end <- errDisk
		synctest.Wait()
		time.Sleep(FetchPause - 1)
		ask("within the pause", 2)
		time.Sleep(time.Nanosecond)
		ask("after the pause", 3)
		end <- nil
		synctest.Wait()
		if failed != 1 {
			t.Errorf("%d failures were told, want 1", failed)
		}
	})
}
