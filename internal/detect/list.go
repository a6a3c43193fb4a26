package detect

// All lists the detectors of cells; [Measured] has the others, and [Every] both.
var All = []*Detector{
	psi, psiScouter, chiSquare, likelihoodRatio, jensenShannon, hellinger, totalVariation, lInfinity, proportion,
	ks, cramerVonMises, andersonDarling, wasserstein,
}

// Find returns the detector of a name, nil when there is none.
func Find(name string) *Detector {
	for _, d := range Every() {
		if d.Name == name {
			return d
		}
	}
	return nil
}
