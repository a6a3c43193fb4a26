// Package inbox is what handing a batch to the mesh's topic inbox means on every
// broker: its headers, the bound on what is on its way, what a failure is called,
// and the parts of a URL that all brokers share. What one broker does, its package
// knows.
package inbox
