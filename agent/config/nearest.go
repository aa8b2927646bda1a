package config

// Nearest gives the word that another was probably meant to be; "" when none is near.
func Nearest(word string, known []string) (best string) {
	least := min(len(word), 12)/3 + 2 // of letters that may differ, and one more
	for _, k := range known {
		if d := distance(word, k); d < least {
			best, least = k, d
		}
	}
	return best
}

// distance is how many letters have to be put in, taken out, changed, or exchanged with the next one, to make b of a.
func distance(a, b string) int {
	const long = 64
	if len(a) > long || len(b) > long {
		return long
	}
	var older, old, row [long + 1]int
	for j := range len(b) + 1 {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		older, old = old, row
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := old[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(change, old[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], older[j-2]+1)
			}
		}
	}
	return row[len(b)]
}

// HasOption tells whether a type of section has an option.
func HasOption(typ, option string) bool {
	for _, o := range table(typ) {
		if o.name == option {
			return true
		}
	}
	return false
}

// DidYouMean is Nearest as the end of a sentence: `; did you mean "x"?`, or nothing.
func DidYouMean(word string, known []string) string {
	if near := Nearest(word, known); near != "" {
		return "; did you mean " + quote(near) + "?"
	}
	return ""
}
