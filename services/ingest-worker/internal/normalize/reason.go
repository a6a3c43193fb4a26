package normalize

// Reason is the name of a rule that a record broke. The set is closed: reasons
// are labels of metrics and keys of the ledger. The door refuses under the same
// names.
type Reason string

// The reasons for which a record is rejected.
const (
	Malformed           Reason = "malformed"               // its bytes are no record
	InvalidUTF8         Reason = "invalid_utf8"            // a text is not UTF-8
	InvalidID           Reason = "invalid_id"              // its id is longer than MaxID
	EventTimeRange      Reason = "event_time_out_of_range" // before 1970, after 2105, or no time at all
	InvalidTraceContext Reason = "invalid_trace_context"   // its traceparent is not W3C's
	UnknownProfile      Reason = "unknown_profile"         // no such profile in the tenant
	Empty               Reason = "empty_record"            // it says nothing
	UnknownFeature      Reason = "unknown_feature"         // the profile has no such feature
	UnknownBin          Reason = "unknown_bin"             // the profile's feature has no such bin
	DuplicateName       Reason = "duplicate_name"          // one feature or metric twice
	TypeMismatch        Reason = "type_mismatch"           // a value of another type than the profile's
	NotFinite           Reason = "not_finite"              // a metric that is NaN or infinite
	InvalidContext      Reason = "invalid_context"         // a context that is no JSON object
	TooLarge            Reason = "too_large"               // a context longer than MaxContext
)

// Reasons lists them all.
func Reasons() []Reason {
	return []Reason{
		Malformed, InvalidUTF8, InvalidID, EventTimeRange, InvalidTraceContext, UnknownProfile, Empty,
		UnknownFeature, UnknownBin, DuplicateName, TypeMismatch, NotFinite, InvalidContext, TooLarge,
	}
}

// Limits of a record.
const (
	MaxID      = 128     // bytes of a record id
	MaxContext = 1 << 20 // bytes of a context's JSON
)
