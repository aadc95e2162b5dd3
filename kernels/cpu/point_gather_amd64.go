package cpu

import (
	"math"

	"github.com/espalier-ml/espalier/kernels"
)

// lowerGather copies rows; the row of an index outside the table is NaN.
func lowerGather(l *lowering, o *kernels.Gather) []stage {
	table, index, y := l.ref(o.Table), l.ref(o.Index), l.ref(o.Y)
	v, d := o.Table.Dim(0), o.Table.Dim(1)
	fence, done := l.whole(o.Table)
	st := elementwise("gather", o.Y, 8, d, func(_ *worker, lo, hi int) {
		for i := lo / d; i < hi/d; i++ {
			dst, at := y.f[i*d:(i+1)*d], int(index.i[i])
			if at >= 0 && at < v {
				copy(dst, table.f[at*d:])
				continue
			}
			fillWith(ptr(dst), d, float32(math.NaN()))
		}
	})
	st.reads, st.writes = given(o.Table, o.Index, done), given(o.Y)
	return []stage{fence, st}
}

// lowerGatherGrad deals the table's rows out to the parts in turn, so that
// frequent ones, which tend to be neighbours, spread; every part sees all
// indices in order.
func lowerGatherGrad(l *lowering, o *kernels.GatherGrad) []stage {
	dy, index, table := l.ref(o.DY), l.ref(o.Index), l.ref(o.DTable)
	v, d := o.DTable.Dim(0), o.DTable.Dim(1)
	work := o.DTable.Len() + o.DY.Len()
	parts := max(1, min(16, v, work/partElems))
	return []stage{{name: "gather gradient", parts: parts, run: func(_ *worker, part int) {
		if !o.Acc {
			for r := part; r < v; r += parts {
				clear(table.f[r*d : (r+1)*d])
			}
		}
		for i, at := range index.i {
			if at := int(at); at >= 0 && at < v && at%parts == part {
				dst := ptr(table.f[at*d : (at+1)*d])
				addInto(dst, dst, ptr(dy.f[i*d:(i+1)*d]), d)
			}
		}
	}}}
}
