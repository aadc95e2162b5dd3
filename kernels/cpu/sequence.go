package cpu

import "github.com/espalier-ml/espalier/kernels"

// lowerSequence turns attention (attention.go) and LSTMs (lstm.go) into
// stages.
func lowerSequence(l *lowering, op kernels.Op) []stage {
	switch o := op.(type) {
	case *kernels.Attention:
		return l.attention(o)
	case *kernels.AttentionGrad:
		return l.attentionGrad(o)
	case *kernels.LSTM:
		return l.lstm(o)
	case *kernels.LSTMGrad:
		return l.lstmGrad(o)
	}
	return nil
}
