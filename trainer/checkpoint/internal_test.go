package checkpoint

// ExportTo is Export on a file system of the test's choice.
var ExportTo = exportTo
