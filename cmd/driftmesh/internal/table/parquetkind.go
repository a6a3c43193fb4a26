package table

import (
	"math"
	"math/big"
	"strconv"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/driftmesh/driftmesh/sdk/profile"
)

// parquetKind is what the stored values of a column are read as. One of the
// functions is set where that takes more than a conversion.
type parquetKind struct {
	as       profile.ValueType
	stored   parquet.Kind
	unsigned bool
	local    bool // times in no zone
	// number and time make a value of a stored one.
	number func(parquet.Value) float64
	time   func(parquet.Value) int64
}

// kindOf is the kind of a column, or why it cannot be read.
func kindOf(c *parquet.Column) (k parquetKind, problem error) {
	refuse := func(what string) (parquetKind, error) {
		return k, &profile.Error{Column: c.Name(), Rule: "PARQUET_TYPE", Detail: what + " cannot be read; leave the column out or convert it"}
	}
	if !c.Leaf() || c.Repeated() {
		return refuse("a nested or repeated column")
	}
	logical := logicalOf(c.Type())
	k.stored = c.Type().Kind()
	switch of := logical.(type) {
	case *format.DecimalType:
		k.as, k.number = profile.Float, decimal(k.stored, int(of.Scale))
		return k, nil
	case *format.DateType:
		k.local = true
		k.time = func(v parquet.Value) int64 { return int64(v.Int32()) * int64(24*time.Hour) }
		return k, nil
	case *format.TimestampType:
		unit := unitOf(of.Unit)
		k.local = !of.IsAdjustedToUTC
		k.time = func(v parquet.Value) int64 { return v.Int64() * int64(unit) }
		return k, nil
	}
	switch k.stored {
	case parquet.Boolean:
		k.as = profile.Bool
	case parquet.Float, parquet.Double:
		k.as = profile.Float
	case parquet.Int32, parquet.Int64:
		integer, plain := logical.(*format.IntType)
		if logical != nil && !plain {
			return refuse("a number that stands for a " + logical.String())
		}
		k.as, k.unsigned = profile.Int, plain && !integer.IsSigned
	case parquet.Int96: // how Spark and Hive wrote times
		k.time = int96Time
	case parquet.ByteArray:
		switch logical.(type) {
		case nil, *format.StringType, *format.EnumType, *format.JsonType:
			k.as = profile.String
		default:
			return refuse("a " + logical.String())
		}
	default:
		return refuse("a column of type " + c.Type().String())
	}
	return k, nil
}

// logicalOf is what the stored values stand for; nil when for themselves.
func logicalOf(t parquet.Type) format.LogicalTypeValue {
	if logical := t.LogicalType(); logical != nil {
		return logical.Value
	}
	return nil
}

func unitOf(u format.TimeUnit) time.Duration {
	switch u.Value.(type) {
	case *format.MilliSeconds:
		return time.Millisecond
	case *format.MicroSeconds:
		return time.Microsecond
	}
	return time.Nanosecond
}

// julianEpoch is 1970-01-01 as a Julian day.
const julianEpoch = 2440588

func int96Time(v parquet.Value) int64 {
	parts := v.Int96()
	nanos := int64(parts[0]) | int64(parts[1])<<32
	return (int64(parts[2])-julianEpoch)*int64(24*time.Hour) + nanos
}

// decimal makes numbers of decimals as they are stored: integers, or big-endian
// bytes in two's complement.
func decimal(stored parquet.Kind, scale int) func(parquet.Value) float64 {
	switch stored {
	case parquet.Int32:
		return func(v parquet.Value) float64 { return scaled(big.NewInt(int64(v.Int32())), scale) }
	case parquet.Int64:
		return func(v parquet.Value) float64 { return scaled(big.NewInt(v.Int64()), scale) }
	default:
		return func(v parquet.Value) float64 { return scaled(twosComplement(v.ByteArray()), scale) }
	}
}

func twosComplement(b []byte) *big.Int {
	n := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return n
}

// exactDigits is how many decimal digits a float holds exactly, whatever they
// are; so does it powers of ten up to that, and a quotient of two exact floats is
// the float next to the true one.
const exactDigits = 15

// scaled is n over ten to the scale: the nearest float.
func scaled(n *big.Int, scale int) float64 {
	if n.IsInt64() && scale >= 0 && scale <= exactDigits {
		if v := n.Int64(); v > -1e15 && v < 1e15 {
			return float64(v) / math.Pow10(scale)
		}
	}
	v, err := strconv.ParseFloat(n.String()+"e"+strconv.Itoa(-scale), 64)
	if err != nil && v == 0 { // beyond a float it is infinite
		return math.NaN()
	}
	return v
}
