package gossip

import (
	"bytes"
	"log"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// listLogger hands memberlist's lines, "[WARN] memberlist: text", to zap, a
// level down: a member that does not answer is to a run a state.
func listLogger(to *zap.Logger) *log.Logger {
	return log.New(lines{to.Named("memberlist")}, "", 0)
}

type lines struct{ log *zap.Logger }

var levels = map[string]zapcore.Level{
	"[DEBUG]": zapcore.DebugLevel,
	"[INFO]":  zapcore.DebugLevel,
	"[WARN]":  zapcore.InfoLevel,
	"[ERR]":   zapcore.WarnLevel,
	"[ERROR]": zapcore.WarnLevel,
}

// Write implements io.Writer for log.Logger, which calls it once a line.
func (l lines) Write(line []byte) (int, error) {
	text := bytes.TrimSpace(line)
	level := zapcore.InfoLevel
	if tag, rest, ok := bytes.Cut(text, []byte(" ")); ok {
		if known, ok := levels[string(tag)]; ok {
			level, text = known, bytes.TrimPrefix(rest, []byte("memberlist: "))
		}
	}
	if entry := l.log.Check(level, "memberlist"); entry != nil {
		entry.Write(zap.ByteString("says", text))
	}
	return len(line), nil
}
