package lowbit

func setFast(on bool) { fast = on }
