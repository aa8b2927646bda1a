package registration

import (
	"slices"
	"strings"
)

// maxTexts is how many different failures in a row are known again. A server with several addresses fails in as many ways in
// turn.
const maxTexts = 16

// texts are failures that have been told.
type texts []string

// add says whether a text is new. The oldest makes room for it.
func (t *texts) add(text string) bool {
	if slices.Contains(*t, text) {
		return false
	}
	*t = append((*t)[max(0, len(*t)+1-maxTexts):], text)
	return true
}

// gist is a text without what differs at each try: our own end of a connection, as in "read tcp 10.0.0.7:43210->192.0.2.1:443".
func gist(text string) string {
	words := strings.Fields(text)
	for i, w := range words {
		if _, to, ok := strings.Cut(w, "->"); ok {
			words[i] = to
		}
	}
	return strings.Join(words, " ")
}
