// Package leak tells memory that is lost from garbage that is not yet collected.
package leak

import "slices"

// Growth compares the least of the last third of a program's memory figures, taken after each of many equal events,
// with the least of the first third: what lies above those is garbage. The first tenth does not count: before it was a
// rest, after which the program has to get the memory first that it works with. The unit is that of the figures;
// without any it is 0.
func Growth(figures []int) int {
	figures = figures[len(figures)/10:]
	if len(figures) == 0 {
		return 0
	}
	third := max(1, len(figures)/3)
	return slices.Min(figures[len(figures)-third:]) - slices.Min(figures[:third])
}
