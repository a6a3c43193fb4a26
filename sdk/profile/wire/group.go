package wire

import (
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

func groupMessage(g *profile.Group) *driftv1.FeatureGroup {
	r := g.Residual
	m := &driftv1.FeatureGroup{
		Features: g.Features, Rows: g.Rows, Incomplete: g.Incomplete, Means: g.Means, Covariances: g.Covariances, Kurtosis: g.Kurtosis,
		Residual: &driftv1.Residual{Number: r.Number, Mean: r.Mean, StdDev: r.StdDev, Skewness: r.Skewness},
	}
	for _, v := range g.Components {
		m.Components = append(m.Components, &driftv1.Component{Weights: v})
	}
	return m
}

func groupOf(m *driftv1.FeatureGroup) profile.Group {
	r := m.GetResidual()
	g := profile.Group{
		Features: m.GetFeatures(), Rows: m.GetRows(), Incomplete: m.GetIncomplete(), Means: m.GetMeans(), Covariances: m.GetCovariances(), Kurtosis: m.GetKurtosis(),
		Residual: profile.Residual{Number: r.GetNumber(), Mean: r.GetMean(), StdDev: r.GetStdDev(), Skewness: r.GetSkewness()},
	}
	for _, v := range m.GetComponents() {
		g.Components = append(g.Components, v.GetWeights())
	}
	return g
}
