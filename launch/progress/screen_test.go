package progress

import (
	"strconv"
	"strings"
)

// screen is a terminal of some columns that understands what frames use. Rows
// never scroll out: the test sees all that a user could scroll back to.
type screen struct {
	columns  int
	rows     [][]rune
	row, col int
	writes   int
}

func (s *screen) Write(b []byte) (int, error) {
	s.writes++
	text := []rune(string(b))
	for i := 0; i < len(text); i++ {
		switch r := text[i]; r {
		case '\r':
			s.col = 0
		case '\n':
			s.row++
		case '\x1b':
			end := i + 2
			for text[end] < '@' || text[end] > '~' {
				end++
			}
			s.control(string(text[i+2:end]), text[end])
			i = end
		default:
			s.put(r)
		}
	}
	return len(b), nil
}

func (s *screen) control(parameter string, final rune) {
	switch final {
	case 'A':
		n, err := strconv.Atoi(parameter)
		if err != nil {
			panic(err)
		}
		s.row = max(0, s.row-n)
	case 'K':
		s.line()
		s.rows[s.row] = s.rows[s.row][:min(s.col, len(s.rows[s.row]))]
	case 'J':
		s.line()
		s.rows[s.row] = s.rows[s.row][:min(s.col, len(s.rows[s.row]))]
		s.rows = s.rows[:s.row+1]
	case 'm', 'h', 'l':
	default:
		panic("unknown control sequence ending in " + string(final))
	}
}

func (s *screen) line() {
	for len(s.rows) <= s.row {
		s.rows = append(s.rows, nil)
	}
}

func (s *screen) put(r rune) {
	if s.col == s.columns {
		s.row, s.col = s.row+1, 0
	}
	s.line()
	for len(s.rows[s.row]) <= s.col {
		s.rows[s.row] = append(s.rows[s.row], ' ')
	}
	s.rows[s.row][s.col] = r
	s.col++
}

// resize makes the terminal narrower or wider and breaks its lines anew, as
// most terminals do.
func (s *screen) resize(columns int) {
	var rows [][]rune
	cursor := 0
	for i, r := range s.rows {
		if i == s.row {
			cursor = len(rows)
		}
		for len(r) > columns {
			rows, r = append(rows, r[:columns]), r[columns:]
		}
		rows = append(rows, r)
	}
	s.columns, s.rows, s.row = columns, rows, cursor
}

func (s *screen) String() string {
	var b strings.Builder
	for _, r := range s.rows {
		b.WriteString(strings.TrimRight(string(r), " ") + "\n")
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}
