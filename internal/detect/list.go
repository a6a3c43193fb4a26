package detect

// All lists the detectors.
var All = []*Detector{
	// Of cells: shares, then what their order tells.
	psi, psiScouter, chiSquare, likelihoodRatio, jensenShannon, hellinger, totalVariation, lInfinity, proportion,
	ks, cramerVonMises, andersonDarling, wasserstein,
	// Of moments.
	mean, spread, logVariance, variance, meanLimits,
	// Of points in their order.
	xbarS, iMR, pChart, cChart, ewma, cusum, pageHinkley, scouterSPC,
	// Of the quality of the data.
	missingShare, nanShare, infiniteShare, wrongTypeShare, outOfRange, duplicates,
	unseenCategory, constant, volume, freshness, noData,
	// Of predictions.
	accuracy, precision, recall, f1, auc, mae, rmse, cbpeAccuracy, calibration,
	// Of several features together.
	hotelling, pcaReconstruction,
}

// Find returns the detector of a name, nil when there is none.
func Find(name string) *Detector {
	for _, d := range All {
		if d.Name == name {
			return d
		}
	}
	return nil
}
