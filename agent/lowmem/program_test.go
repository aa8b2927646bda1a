package lowmem

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestCut(t *testing.T) {
	const k = 1 << 10
	got := cut([][2]uintptr{{64 * k, 96 * k}, {640 * k, 660 * k}, {8 * k, 12 * k}}, 16*k)
	want := []part{
		{from: 64 * k, to: 80 * k}, {from: 80 * k, to: 96 * k},
		{from: 640 * k, to: 656 * k}, {from: 656 * k, to: 660 * k},
		{from: 8 * k, to: 12 * k},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(part{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A program that lies in flash is not read only to learn what of it is in use.
func TestNote(t *testing.T) {
	at := func(where ...presence) func(uintptr) (presence, error) {
		return func(a uintptr) (presence, error) { return where[a/piece], nil }
	}
	kept := func(p *Program) (all []int) {
		for i, s := range p.pieces {
			if s.kept {
				all = append(all, i)
			}
		}
		return all
	}
	p := Program{pieces: cut([][2]uintptr{{0, 8 * piece}}, piece)}
	if err := p.note(at(cached, mapped, loaded, loaded, mapped, loaded, unloaded, unloaded)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{1, 4}, kept(&p)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := p.note(at(mapped, cached, cached, cached, cached, cached, cached, cached)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{0, 1, 4}, kept(&p)); diff != "" {
		t.Errorf("a second time (-want +got):\n%s", diff)
	}
	err := p.note(at(mapped, mapped, mapped, loaded, loaded, loaded, loaded, mapped))
	if !errors.Is(err, errLoaded) {
		t.Errorf("read from the disk: %v", err)
	}
	err = p.note(func(uintptr) (presence, error) { return 0, unix.EFAULT })
	if !errors.Is(err, unix.EFAULT) {
		t.Errorf("cannot be read: %v", err)
	}
	if diff := cmp.Diff([]int{0, 1, 4}, kept(&p)); diff != "" {
		t.Errorf("after failures (-want +got):\n%s", diff)
	}
}
