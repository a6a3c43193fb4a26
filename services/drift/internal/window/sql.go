package window

import _ "embed"

// The statements; $words are filled in by Statements.fill.
var (
	//go:embed rows.sql
	rowsSQL string
	//go:embed labelled.sql
	labelledSQL string
	//go:embed related.sql
	relatedSQL string
	//go:embed size.sql
	sizeSQL string
	//go:embed span.sql
	spanSQL string
	//go:embed estimate.sql
	estimateSQL string
	//go:embed losers.sql
	losersSQL string
	//go:embed suspects.sql
	suspectsSQL string
	//go:embed exemplars.sql
	exemplarSQL string
)

// keySQL is a record's exemplar key.
const keySQL = "bitOr(bitShiftRight(cityHash64(RecordId), 1), if(TraceId = toFixedString('', 16), bitShiftLeft(toUInt64(1), 63), toUInt64(0)))"
