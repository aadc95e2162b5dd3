package chart

import (
	"cmp"
	"html"
	"slices"
	"unicode/utf8"
)

// lineHeight is the least distance of labels at the lines' ends, endLetter the
// room that one letter of them takes.
const (
	lineHeight = 14.0
	endLetter  = 6.6
)

// endRoom is the width that the labels at the lines' ends need.
func endRoom(lines []Line) float64 {
	longest := 0
	for _, l := range lines {
		longest = max(longest, utf8.RuneCountInString(l.End))
	}
	if longest == 0 {
		return 0
	}
	return min(16+endLetter*float64(longest), 180)
}

// ends writes the labels at the lines' ends, pushed apart where they would
// cover each other.
func (d *drawing) ends() {
	var ls []label
	for _, l := range d.Lines {
		if l.End == "" || len(l.Points) == 0 {
			continue
		}
		if y, ok := d.y.at(l.Points[len(l.Points)-1].Y); ok {
			ls = append(ls, label{text: l.End, class: "ends " + html.EscapeString(l.Class), y: y})
		}
	}
	spread(ls, d.top+4, d.bottom)
	for _, l := range ls {
		d.text(l.class, d.right+7, l.y+4, l.text)
	}
}

// label is a text beside the chart at height y.
type label struct {
	text, class string
	y           float64
}

// spread sorts labels from top to bottom and moves them at least a line apart,
// within [top, bottom] as far as there is room.
func spread(ls []label, top, bottom float64) {
	slices.SortStableFunc(ls, func(a, b label) int { return cmp.Compare(a.y, b.y) })
	for i := range ls {
		least := top
		if i > 0 {
			least = ls[i-1].y + lineHeight
		}
		ls[i].y = max(ls[i].y, least)
	}
	most := bottom
	for i := len(ls) - 1; i >= 0; i-- {
		ls[i].y = max(min(ls[i].y, most), top)
		most = ls[i].y - lineHeight
	}
}
