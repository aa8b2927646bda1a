package printable

import "testing"

func TestText(t *testing.T) {
	for _, tt := range []struct {
		in   string
		n    int
		want string
	}{
		{"plain", 10, "plain"},
		{"plain", 5, "plain"},
		{"plain", 4, "plai…"},
		{"a\nb\tc", 10, "a b c"},
		{"\x1b[2J\u202e\x00", 10, "?[2J??"},
		{"\xff\xfeä", 10, "��ä"},
		{"", 0, ""},
	} {
		if got := Text(tt.in, tt.n); got != tt.want {
			t.Errorf("Text(%q, %d) is %q, want %q", tt.in, tt.n, got, tt.want)
		}
	}
}
