package detect

// All lists the detectors.
var All = []*Detector{}

// Find returns the detector of a name, nil when there is none.
func Find(name string) *Detector {
	for _, d := range All {
		if d.Name == name {
			return d
		}
	}
	return nil
}
