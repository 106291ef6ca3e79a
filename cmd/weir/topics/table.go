package topics

import (
	"io"
	"strings"
	"unicode/utf8"
)

// table is text in columns, two spaces apart.
type table struct {
	right []bool // columns of numbers
	rows  [][]string
}

// newTable takes the headers; a '>' at the end aligns the column to the right. Empty headers make no header line.
func newTable(headers ...string) *table {
	t := &table{}
	row := make([]string, len(headers))
	for i, h := range headers {
		name, right := strings.CutSuffix(h, ">")
		row[i] = name
		t.right = append(t.right, right)
	}
	if strings.Join(row, "") != "" {
		t.add(row...)
	}
	return t
}

// add appends a row of as many cells as there are headers.
func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) write(w io.Writer) error {
	widths := make([]int, len(t.right))
	for _, row := range t.rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, row := range t.rows {
		var line strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if t.right[i] {
				line.WriteString(pad + cell + "  ")
			} else {
				line.WriteString(cell + pad + "  ")
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
