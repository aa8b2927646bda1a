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

// HasOption tells whether a type of section has an option.
func HasOption(typ, option string) bool {
	return isOption(table(typ), option)
}

// DidYouMean is Nearest as the end of a sentence: `; did you mean "x"?`, or nothing.
func DidYouMean(word string, known []string) string {
	if near := Nearest(word, known); near != "" {
		return "; did you mean " + quote(near) + "?"
	}
	return ""
}
