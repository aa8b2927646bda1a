package registration

import (
	"slices"
	"strings"
)

const (
	// maxTexts is how many different failures in a row are known again. A server with several addresses fails in as
	// many ways in turn.
	maxTexts = 16
	// maxAlike is how many of them may be the same but for numbers: some servers put the time, or the number of the
	// request, into what they say.
	maxAlike = 4
)

// texts are failures that have been told.
type texts []string

// add says whether a text is new. The oldest makes room for it.
func (t *texts) add(text string) bool {
	alike, bare := 0, withoutNumbers(text)
	for _, known := range *t {
		if known == text {
			return false
		}
		if withoutNumbers(known) == bare {
			alike++
		}
	}
	if alike >= maxAlike {
		return false
	}
	*t = append((*t)[max(0, len(*t)+1-maxTexts):], text)
	return true
}

// withoutNumbers leaves out the words that have a digit.
func withoutNumbers(text string) string {
	numbered := func(w string) bool { return strings.ContainsAny(w, "0123456789") }
	return strings.Join(slices.DeleteFunc(strings.Fields(text), numbered), " ")
}

// gist is a text without what differs at each try: our own end of a connection, as in "read tcp
// 10.0.0.7:43210->192.0.2.1:443".
func gist(text string) string {
	words := strings.Fields(text)
	for i, w := range words {
		if _, to, ok := strings.Cut(w, "->"); ok {
			words[i] = to
		}
	}
	return strings.Join(words, " ")
}
